#include "daemon/run_orphans.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/unique_fd.h"
#include "daemon/mount_users.h"

namespace ztmpfs {

namespace {

// Whoever kills both may kill the guard first.
constexpr int kFrontMilliseconds = 100;
constexpr std::chrono::milliseconds kPause{5};
constexpr std::chrono::milliseconds kSweepMax{1000};
constexpr int kWaitMilliseconds = 2000;

bool is_ours(pid_t pid) {
  struct stat status{};
  return ::stat(("/proc/" + std::to_string(pid)).c_str(), &status) == 0 && status.st_uid == ::geteuid();
}

// Again and again: they may be starting others.
void kill_users(const std::string& mountpoint) {
  const auto until = std::chrono::steady_clock::now() + kSweepMax;
  bool is_any_left = true;
  while (is_any_left && std::chrono::steady_clock::now() < until) {
    is_any_left = false;
    for (const MountUser& user : find_mount_users(mountpoint))
      if (is_ours(user.pid) && ::kill(user.pid, SIGKILL) == 0) is_any_left = true;
    if (is_any_left) std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

void end_orphaned_users(const std::string& mountpoint, int front) {
  pollfd end_of_front{.fd = front, .events = POLLIN, .revents = 0};
  if (::poll(&end_of_front, 1, kFrontMilliseconds) != 1) return;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return;
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t sweeper = ::fork();
  if (sweeper == 0) {
    kill_users(mountpoint);
    ::_exit(EXIT_SUCCESS);
  }
  writer.reset();  // the sweeper's end is that of the pipe
  pollfd end_of_sweeper{.fd = reader.get(), .events = POLLIN, .revents = 0};
  ::poll(&end_of_sweeper, 1, kWaitMilliseconds);
  if (sweeper > 0) ::waitpid(sweeper, nullptr, WNOHANG);
}

}  // namespace ztmpfs
