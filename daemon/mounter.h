#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/mount_table.h"
#include "daemon/options.h"

namespace ztmpfs {

/// A mount that this process or its server serves: enough to find it again, and only it, wherever it was moved or
/// bound to, and even when something else is mounted over it. Never asks the file system itself anything, but when its
/// connection has ended.
struct MountPoint {
  std::string path;     ///< absolute, where it was mounted
  std::string device;   ///< "MAJOR:MINOR"
  int connection = -1;  ///< /dev/fuse, borrowed: tells whether `device` is still ours

  bool is_mounted() const;
  /// Whether the kernel still sends requests, from wherever it is mounted.
  bool is_connected() const;
  /// Its entries in the mount table, in the kernel's order. The kernel gives the number of a mount that is gone to the
  /// next one at once: an entry with our number is ours only if the connection was still there when it was read, or if
  /// nobody answers for it any more at our place.
  std::vector<MountEntry> entries() const;
};

/// The absolute path of a directory on which nothing is mounted yet. Throws std::runtime_error with what is wrong.
std::string check_mountpoint(const std::string& path);

/// A fresh connection to the kernel, mounted.
struct FuseMount {
  UniqueFd device;  ///< /dev/fuse
  MountPoint mountpoint;
};

/// Mounts as `options` say on their (absolute) mountpoint: with mount(2) as root, else with fusermount3. The kernel's
/// first request waits in the descriptor. Throws std::runtime_error with a sentence; nothing is mounted then.
FuseMount mount_fuse(const Options& options);

enum class UnmountResult { kGone, kBusy };

/// Unmounts it wherever it is mounted in this namespace; with `lazily` also while it is in use: it vanishes from the
/// tree, and ends with its last user. Needs the file system to be served meanwhile (the kernel flushes what is dirty).
/// Never call it from a thread that serves.
UnmountResult unmount(const MountPoint& mountpoint, bool lazily);

/// Detaches what is on top at `path`, whosesoever it is, served or not, with all that is mounted below it.
void detach_mount(const std::string& path);

/// Lets the kernel read ahead further than its default of 128 KiB; does nothing where that is not permitted.
void raise_read_ahead(const MountPoint& mountpoint);

/// Has the kernel end the connection: every request that waits or comes fails. False where that is not permitted.
bool abort_connection(const MountPoint& mountpoint);

}  // namespace ztmpfs
