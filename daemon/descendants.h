#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace ztmpfs {

/// The living descendants of a process, parents before children, without those in `spared` and what descends from them.
/// Those that have ended and were not waited for are left out. `proc` is /proc but in tests.
std::vector<pid_t> find_descendants(pid_t ancestor, const std::vector<pid_t>& spared = {},
                                    const std::string& proc = "/proc");

/// Ends all descendants of this process but `spared` and theirs: SIGTERM (and SIGCONT: a stopped one would not see
/// it), SIGKILL to those that are left after `grace`, and to what they have started meanwhile. This process has to be a
/// subreaper (PR_SET_CHILD_SUBREAPER), or what loses its parent is nobody's descendant any more. `reap` is called
/// between and has to wait for children that have ended. Returns who is left after `patience`: processes of other
/// users, or such that the kernel does not let go.
std::vector<pid_t> end_descendants(const std::vector<pid_t>& spared, std::chrono::milliseconds grace,
                                   std::chrono::milliseconds patience, const std::function<void()>& reap);

}  // namespace ztmpfs
