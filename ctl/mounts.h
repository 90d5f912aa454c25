#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace ztmpfs {

/// A mount, as it describes itself (GET /v1/info).
struct MountInfo {
  std::string name;
  std::string mountpoint;
  pid_t server_pid;
  pid_t holder_pid;
  std::string socket_path;
};

/// The mounts whose sockets lie in `runtime_dir`, by name. Those that have ended are left out; `complain` gets a
/// sentence for each that does not answer properly.
std::vector<MountInfo> find_mounts(const std::string& runtime_dir,
                                   const std::function<void(const std::string&)>& complain);

/// The mount that `target` means, by name or by mount point; if `target` is empty, the only one there is. Never looks
/// at the mount itself. Throws std::runtime_error with a sentence.
const MountInfo& choose_mount(const std::vector<MountInfo>& mounts, const std::string& target);

}  // namespace ztmpfs
