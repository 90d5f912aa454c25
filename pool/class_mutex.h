#pragma once

#include <atomic>

#include "base/mutex.h"

namespace ztmpfs {

/// The mutex of one size class. It counts who waits for it: compaction, which takes it again and again, makes way for
/// them, as the kernel's does (mm/zsmalloc.c, __zs_compact). A std::mutex lets whoever runs take it again.
class CAPABILITY("mutex") ClassMutex {
 public:
  void lock() ACQUIRE() {
    if (mutex_.try_lock()) return;
    waiting_.fetch_add(1, std::memory_order_relaxed);
    mutex_.lock();
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  void unlock() RELEASE() { mutex_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  /// Whether a thread waits for it.
  bool is_wanted() const { return waiting_.load(std::memory_order_relaxed) != 0; }

 private:
  std::mutex mutex_;
  std::atomic<uint32_t> waiting_ = 0;
};

}  // namespace ztmpfs
