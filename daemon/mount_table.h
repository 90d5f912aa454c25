#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// One mount of this process's mount namespace, as /proc/self/mountinfo tells it (proc_pid_mountinfo(5)).
struct MountEntry {
  std::string device;  ///< "MAJOR:MINOR", unique to a FUSE mount for its life, and the next one's after it
  std::string mountpoint;
  std::string type;
  std::string source;
  std::string root;     ///< the part of the file system that is mounted: "/" unless it was bound
  std::string options;  ///< of the mount, then of the file system: "rw,nosuid,ro,user_id=0"
};

/// Reads the text of a mountinfo file. Lines that are not understood are left out.
std::vector<MountEntry> parse_mount_table(std::string_view text);

/// The mounts of this process's namespace now, in the kernel's order: of two on one mount point the later one is on
/// top. Asks the file systems themselves nothing, so it works while ours does not answer.
std::vector<MountEntry> read_mount_table();

/// The mount on top at `mountpoint`; nullptr if nothing is mounted there.
const MountEntry* find_mount(const std::vector<MountEntry>& table, std::string_view mountpoint);

}  // namespace ztmpfs
