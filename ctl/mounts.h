#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ztmpfs {

/// A mount, as its holder describes it (base/holder_client.h), or what is kept of one.
struct MountInfo {
  std::string name;
  std::string mountpoint;  ///< empty: it is not mounted, but its contents are kept
  pid_t server_pid;        ///< 0: there is none just now
  pid_t holder_pid;
  std::string state;  ///< "mounted", "ending", "kept", "failed": kept, but no server could take it up
  std::string socket_path;
  std::string holder_socket_path;

  bool is_mounted() const { return !mountpoint.empty(); }
};

/// The mounts whose sockets lie in `runtime_dir`, by name, and what is kept. Those that have ended are left out;
/// `complain` gets a sentence for each that does not answer properly.
std::vector<MountInfo> find_mounts(const std::string& runtime_dir,
                                   const std::function<void(const std::string&)>& complain);

/// The mount of that name, if it is there still (or again). A stranger on its sockets is no mount.
std::optional<MountInfo> find_mount(const std::string& runtime_dir, const std::string& name);

/// The mount that `target` means, by name or by mount point; if `target` is empty, the only one there is. Never looks
/// at the mount itself. Throws std::runtime_error with a sentence.
const MountInfo& choose_mount(const std::vector<MountInfo>& mounts, const std::string& target);

}  // namespace ztmpfs
