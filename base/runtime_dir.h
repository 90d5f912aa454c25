#pragma once

#include <string>

namespace ztmpfs {

/// Where the lock and the control socket of each mount lie: $ZTMPFS_RUNTIME_DIR if set, else /run/ztmpfs for a root
/// that may write to /run, else $XDG_RUNTIME_DIR/ztmpfs, else /tmp/ztmpfs-UID. Daemon and ztmpfsctl must agree on it.
std::string runtime_dir();

/// The control socket of the mount `name`.
std::string control_socket_path(const std::string& runtime_dir, const std::string& name);

/// What the name of a control socket ends with.
inline constexpr const char* kControlSocketSuffix = ".sock";

/// Makes the directory (mode 0755 for root, else 0700). Throws std::runtime_error if it cannot be made or belongs to
/// somebody else, who could then put a false socket there.
void make_runtime_dir(const std::string& path);

}  // namespace ztmpfs
