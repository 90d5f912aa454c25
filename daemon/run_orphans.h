#pragma once

#include <string>

namespace ztmpfs {

/// For the holder of a run whose guard has died, before it unmounts: if the front process, of which `front` is the
/// pidfd, has died too, nobody ends what the command has started. Kills (SIGKILL) the processes of this user that use
/// the mount, in a child of its own, so that no process that stands still can keep the caller; returns when that is
/// done, or after two seconds. Does nothing if the front process lives.
void end_orphaned_users(const std::string& mountpoint, int front);

}  // namespace ztmpfs
