#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ztmpfs {

/// A process that keeps a mount busy.
struct MountUser {
  pid_t pid;
  std::string name;
};

/// The processes whose working directory, root, program, open files or mappings lie at or below `mountpoint`.
/// Compares the kernel's text of paths only: never looks at the mount itself, which this process may be serving.
/// `proc` is /proc but in tests.
std::vector<MountUser> find_mount_users(const std::string& mountpoint, const std::string& proc = "/proc");

/// "12 (make), 13 (cc1)", for a log line; names no more than a few.
std::string describe_mount_users(const std::vector<MountUser>& users);

}  // namespace ztmpfs
