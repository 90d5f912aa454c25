#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace ztmpfs {

/// The answer to a control request.
struct ControlReply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
};

/// The daemon cannot do now what was asked, and nothing has changed: one sentence why; status 409.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One thing that can be asked of the daemon.
struct ControlRoute {
  std::string method;  ///< "GET" or "POST"
  std::string path;    ///< "/v1/stats"
  /// Makes the answer from the request's body. May throw: std::invalid_argument becomes 400, Refusal
  /// 409, anything else 500.
  std::function<ControlReply(const std::string& body)> answer;
  /// Takes long: runs in a thread of its own, one such request after the other.
  bool is_slow = false;
};

/// {"error": sentence}.
ControlReply control_error(unsigned status, const std::string& sentence);

/// Answers HTTP/1.1 requests on a Unix socket that only this user can open. Knows nothing of what it is asked.
/// Lives on the thread of its io_context, but for slow routes.
class ControlServer {
 public:
  static constexpr size_t kConnectionsMax = 32;
  static constexpr size_t kHeaderMax = 8 * 1024;
  static constexpr size_t kBodyMax = 64 * 1024;

  /// Answers who connects to `listener` (unix_listener.h).
  ControlServer(boost::asio::io_context& io, UniqueFd listener, std::vector<ControlRoute> routes);
  /// close(), then waits for a slow route that still runs.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  /// Runs something in the thread of the slow routes, after those that wait for it already. It must not throw.
  void run_slowly(std::function<void()> task);
  /// Takes no more connections. Idempotent.
  void close();

 private:
  class Connection;
  void accept();
  void accept_later();
  const ControlRoute* find_route(const std::string& method, const std::string& path, ControlReply& refusal) const;

  boost::asio::io_context& io_;
  const std::vector<ControlRoute> routes_;
  boost::asio::local::stream_protocol::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  size_t connections_ = 0;
  boost::asio::thread_pool slow_{1};
};

}  // namespace ztmpfs
