#include "daemon/control_request.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "base/unique_fd.h"
#include "base/unix_address.h"

namespace ztmpfs {

namespace {

namespace http = boost::beast::http;

constexpr time_t kPatienceSeconds = 600;

UniqueFd connect_to(const std::string& path) {
  const sockaddr_un address = unix_address(path);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
    throw std::runtime_error("cannot connect to " + path + ": " + std::strerror(errno));
  return socket;
}

}  // namespace

ControlReply control_request(const std::string& socket_path, const std::string& method, const std::string& path,
                             const std::string& body) {
  const UniqueFd socket = connect_to(socket_path);
  const std::string request = method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" +
                              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) != ssize_t(request.size()))
    throw std::runtime_error("cannot ask " + socket_path);
  http::response_parser<http::string_body> parser;
  parser.eager(true);
  std::string received;
  std::array<char, 4096> chunk{};
  boost::system::error_code error;
  while (!parser.is_done()) {
    const ssize_t count = ::recv(socket.get(), chunk.data(), chunk.size(), 0);
    if (count <= 0) throw std::runtime_error(socket_path + " gives no answer");
    received.append(chunk.data(), size_t(count));
    received.erase(0, parser.put(boost::asio::buffer(received), error));
    if (error && error != http::error::need_more)
      throw std::runtime_error(socket_path + " gives no proper answer: " + error.message());
  }
  return {parser.get().result_int(), "application/json", parser.get().body()};
}

}  // namespace ztmpfs
