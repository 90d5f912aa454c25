#include "daemon/reclaim_thread.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

namespace ztmpfs {

namespace {

// Pressure that lasts is told again every two seconds: then another run goes on where this one ends.
constexpr std::chrono::milliseconds kRunMax{2000};

}  // namespace

ReclaimThread::~ReclaimThread() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  condition_.notify_all();
}

void ReclaimThread::start() {
  thread_ = std::jthread([this] { run(); });
}

void ReclaimThread::wake(PressureLevel level) {
  {
    MutexLock lock(mutex_);
    wanted_ = std::max(wanted_.value_or(level), level);
  }
  condition_.notify_all();
}

void ReclaimThread::run() {
  pthread_setname_np(pthread_self(), "reclaim");
  while (const auto level = wait_for_work())
    reclaimer_.run({.cause = ReclaimCause::kPressure, .level = *level, .time_max = kRunMax});
}

std::optional<PressureLevel> ReclaimThread::wait_for_work() NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock lock(mutex_.native());
  condition_.wait(lock, [this]() NO_THREAD_SAFETY_ANALYSIS { return is_stopping_ || wanted_; });
  return is_stopping_ ? std::nullopt : std::exchange(wanted_, std::nullopt);
}

}  // namespace ztmpfs
