#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// Keeps idle CPUs from halting while requests come in a burst. A halted CPU of a virtual machine belongs to the
/// hypervisor; to wake it costs several times a whole short request, and each request wakes two threads.
///
/// Asks the kernel for wake-ups without latency (Documentation/power/pm_qos_interface.rst): its idle CPUs then poll for
/// work and take nothing from who has some. The wish ends with the descriptor, also that of a server that is killed.
class AwakeCpus {
 public:
  using Clock = std::chrono::steady_clock;

  /// So many requests within kInterval are a burst; it lasts until there are fewer in such a time.
  static constexpr uint32_t kBurst = 8;
  static constexpr std::chrono::milliseconds kInterval{2};

  /// `latency` is told the wish as the bytes of an int32_t: 0 us, or -1 for none. Without it nothing is ever done.
  explicit AwakeCpus(UniqueFd latency) : latency_(std::move(latency)) {}
  ~AwakeCpus() { stop(); }
  AwakeCpus(const AwakeCpus&) = delete;
  AwakeCpus& operator=(const AwakeCpus&) = delete;

  /// The kernel's taker of such wishes; none where this process may not ask (it takes root) or should not: elsewhere
  /// than in a virtual machine CPUs wake up quickly, and with many CPUs too many would poll for one client.
  static UniqueFd open_latency();

  /// Starts and ends the thread that sees the end of a burst. It sleeps between bursts.
  void start();
  void stop();
  /// A request was read. One thread at a time, between start() and stop().
  void note_request(Clock::time_point now);

 private:
  void begin();
  void run();
  void ask_for(int32_t microseconds) const;

  const UniqueFd latency_;
  std::atomic<uint32_t> requests_{0};  // of this burst and before; wraps
  std::atomic<bool> is_awake_{false};  // changed under mutex_
  // Of note_request()'s caller: the requests that may become a burst.
  Clock::time_point first_;
  uint32_t in_row_ = 0;
  Mutex mutex_;
  std::condition_variable_any changed_;
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ztmpfs
