#pragma once

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace ztmpfs {

/// How fusermount3 ended, the set-user-ID helper of libfuse that mounts for ordinary users. It is started with
/// posix_spawn(3), which, unlike fork(2), is safe in processes with threads.
struct FusermountResult {
  bool succeeded;
  std::string message;  ///< what it printed, on one line
};

/// Mounts; `device` receives /dev/fuse, as the tool sends it with SCM_RIGHTS over the socket named in _FUSE_COMMFD
/// (libfuse: lib/mount.c, util/fusermount.c). Throws std::runtime_error if fusermount3 cannot be run.
FusermountResult fusermount_mount(const std::string& options, const std::string& mountpoint, UniqueFd& device);

/// Unmounts. Throws std::runtime_error if fusermount3 cannot be run.
FusermountResult fusermount_unmount(const std::string& mountpoint, bool lazily);

}  // namespace ztmpfs
