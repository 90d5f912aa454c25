#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Listens on a Unix socket and answers each connection's request line ("GET /v1/info") from a script, then hangs up.
/// A request that is not in the script gets no answer at all: the connection stays open until the server ends.
class ScriptedServer {
 public:
  ScriptedServer(const std::string& path, std::map<std::string, std::string> script)
      : script_(std::move(script)), socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(socket_.get(), 8) != 0)
      throw std::runtime_error("cannot listen on " + path);
    thread_ = std::jthread([this] { serve(); });
  }
  ~ScriptedServer() { ::shutdown(socket_.get(), SHUT_RDWR); }  // ends accept(2), and the thread with it
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  /// A whole HTTP answer with this JSON.
  static std::string json(const std::string& body, const std::string& status = "200 OK") {
    return "HTTP/1.1 " + status +
           "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\nConnection: close\r\n\r\n" + body;
  }

 private:
  void serve() {
    while (true) {
      UniqueFd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return;
      const std::string request = receive(connection.get());
      const std::string line = request.substr(0, request.find(" HTTP/"));
      if (const auto answer = script_.find(line); answer != script_.end()) {
        ::send(connection.get(), answer->second.data(), answer->second.size(), MSG_NOSIGNAL);
      } else {
        silent_.push_back(std::move(connection));
      }
    }
  }

  static std::string receive(int fd) {
    std::string text;
    std::array<char, 4096> chunk{};
    while (text.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(fd, chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      text.append(chunk.data(), size_t(count));
    }
    return text;
  }

  const std::map<std::string, std::string> script_;
  std::vector<UniqueFd> silent_;
  UniqueFd socket_;
  std::jthread thread_;  // last: joined before the others go
};

}  // namespace ztmpfs
