#pragma once

#include <string>

namespace ztmpfs {

/// Where `path` leads, absolute and without symbolic links, but for its last component: that may be a mount that does
/// not answer, so it is not looked at. Daemon and ztmpfsctl must agree on it.
std::string mountpoint_path(const std::string& path);

}  // namespace ztmpfs
