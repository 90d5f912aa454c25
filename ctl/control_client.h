#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

namespace ztmpfs {

/// Nobody listens on a control socket: the mount has ended.
class NotServed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The answer to a control request.
struct ControlAnswer {
  unsigned status;
  std::string body;
};

/// Sends one HTTP request, with a JSON body unless that is empty, over the Unix socket and waits for the answer. Throws
/// NotServed if there is no socket or nobody listens on it, std::runtime_error with a sentence for everything else.
ControlAnswer control_request(const std::string& socket_path, const std::string& method, const std::string& target,
                              std::chrono::seconds patience, const std::string& body = "");

}  // namespace ztmpfs
