#pragma once

#include <condition_variable>
#include <cstdint>
#include <optional>
#include <thread>

#include "base/mutex.h"
#include "reclaim/pressure_level.h"
#include "reclaim/reclaimer.h"

namespace ztmpfs {

/// Frees memory under pressure in a thread of its own, so that whoever notices the pressure goes on at once.
class ReclaimThread {
 public:
  /// `reclaimer` outlives it. The thread starts with start(): never before a fork.
  explicit ReclaimThread(Reclaimer& reclaimer) : reclaimer_(reclaimer) {}
  /// Waits for the run that goes on.
  ~ReclaimThread();
  ReclaimThread(const ReclaimThread&) = delete;
  ReclaimThread& operator=(const ReclaimThread&) = delete;

  void start();
  /// Has everything freed that can be at this level. What comes during a run starts another one after it, at the
  /// higher level of those that came. Any thread.
  void wake(PressureLevel level);

 private:
  void run();
  std::optional<PressureLevel> wait_for_work();

  Reclaimer& reclaimer_;
  Mutex mutex_;
  std::condition_variable condition_;
  std::optional<PressureLevel> wanted_ GUARDED_BY(mutex_);
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace ztmpfs
