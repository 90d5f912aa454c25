#pragma once

#include <sched.h>

#include <cstdint>

namespace ztmpfs {

/// Keeps the calling thread on the CPU of the client it serves, as long as that is one and the same. A wake-up across
/// CPUs takes up to ten times as long as a whole short request on one (an idle CPU has to be left first), and the
/// scheduler, which sees a free CPU, prefers to place the reader there. Owned and used by one thread.
class ClientFollower {
 public:
  /// Of the calling thread; where that may run now is where release() lets it run again.
  ClientFollower();

  /// A short request of the kernel thread id `pid` (0: unknown) was read.
  void follow(uint32_t pid);
  /// The thread may run anywhere again: a long request was read, and two of them are better off on two CPUs.
  void release();

 private:
  void stay_on(int cpu);

  cpu_set_t allowed_;
  uint32_t pid_ = 0;
  uint32_t requests_ = 0;  // in a row, of pid_
  int cpu_ = -1;           // where this thread is held; -1: free
};

}  // namespace ztmpfs
