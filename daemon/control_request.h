#pragma once

#include <string>

#include "daemon/control_server.h"

namespace ztmpfs {

/// Asks the daemon behind a control socket, as a process that is not (yet) one itself, and waits for the answer:
/// minutes, if it has to reclaim. Throws std::runtime_error with a sentence if there is none.
ControlReply control_request(const std::string& socket_path, const std::string& method, const std::string& path,
                             const std::string& body = "");

}  // namespace ztmpfs
