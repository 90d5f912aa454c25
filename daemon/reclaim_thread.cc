#include "daemon/reclaim_thread.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

namespace ztmpfs {

namespace {

// A request at the cap may have to wait for a run that is under way: so a long one is several.
constexpr std::chrono::milliseconds kRunMax{500};

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
  while (const auto level = wait_for_work()) reclaim(*level);
}

std::optional<PressureLevel> ReclaimThread::wait_for_work() NO_THREAD_SAFETY_ANALYSIS {
  std::unique_lock lock(mutex_.native());
  condition_.wait(lock, [this]() NO_THREAD_SAFETY_ANALYSIS { return is_stopping_ || wanted_; });
  return is_stopping_ ? std::nullopt : std::exchange(wanted_, std::nullopt);
}

// Until a run ends before its time: then there was no more to free.
void ReclaimThread::reclaim(PressureLevel level) {
  while (true) {
    const ReclaimReport report =
        reclaimer_.run({.cause = ReclaimCause::kPressure, .level = level, .time_max = kRunMax});
    if (report.time < kRunMax || report.freed == 0 || is_stopping()) return;
  }
}

bool ReclaimThread::is_stopping() {
  MutexLock lock(mutex_);
  return is_stopping_;
}

}  // namespace ztmpfs
