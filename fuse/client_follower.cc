#include "fuse/client_follower.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace ztmpfs {

namespace {

constexpr uint32_t kFirstLook = 4;   // a client of fewer requests is not worth a move
constexpr uint32_t kLookEvery = 32;  // the client may be moved; a look costs a few microseconds

// The CPU a thread ran on last: field 39 of /proc/PID/stat (proc(5)); -1 if it cannot be told.
int cpu_of(uint32_t pid) {
  const UniqueFd file(::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> buffer{};
  const ssize_t length = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
  if (length <= 0) return -1;
  std::string_view text(buffer.data(), size_t(length));
  // Field 2, the name, may hold anything; the last parenthesis ends it.
  size_t at = text.rfind(')');
  for (int field = 2; field < 39 && at != std::string_view::npos; ++field) at = text.find(' ', at + 1);
  if (at == std::string_view::npos) return -1;
  int cpu = -1;
  std::from_chars(text.data() + at + 1, text.data() + text.size(), cpu);
  return cpu;
}

}  // namespace

ClientFollower::ClientFollower() {
  CPU_ZERO(&allowed_);
  ::sched_getaffinity(0, sizeof(allowed_), &allowed_);
}

void ClientFollower::follow(uint32_t pid) {
  if (pid == 0) return;
  if (pid != pid_) {
    // Clients that take turns are better served wherever there is a free CPU.
    if (requests_ < kFirstLook) release();
    pid_ = pid;
    requests_ = 0;
  }
  if (++requests_ != kFirstLook && requests_ % kLookEvery != 0) return;
  const int cpu = cpu_of(pid);
  if (cpu >= 0 && cpu != cpu_ && CPU_ISSET(cpu, &allowed_)) stay_on(cpu);
}

void ClientFollower::release() {
  if (cpu_ < 0) return;
  ::sched_setaffinity(0, sizeof(allowed_), &allowed_);
  cpu_ = -1;
}

void ClientFollower::stay_on(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  // Refused: the scheduler decides, as before.
  cpu_ = ::sched_setaffinity(0, sizeof(one), &one) == 0 ? cpu : -1;
}

}  // namespace ztmpfs
