#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "base/clock.h"
#include "base/mutex.h"

namespace ztmpfs {

/// Blocks that wait for background work, oldest first: open ones to be sealed, or ones sealed in a hurry to be
/// compressed again. Derived. Thread-safe, leaf lock.
class HotQueue {
 public:
  /// The unit of time in BlockAge; ages are compared modulo 2^24 ticks, which is twelve days.
  static constexpr std::chrono::milliseconds kTick{64};
  static constexpr uint32_t kTickMask = 0xffffff;

  struct Entry {
    uint64_t index;
    uint32_t owner;
    uint32_t tick : 24;
    uint32_t ticket : 8;
  };

  explicit HotQueue(const Clock& clock) : clock_(clock) {}

  /// Called, without the lock held, when an entry comes into an empty queue. Set before threads run.
  void set_on_first(std::function<void()> on_first) { on_first_ = std::move(on_first); }

  uint32_t now() const { return uint32_t(clock_.monotonic() / kTick) & kTickMask; }
  static uint32_t age(uint32_t now, uint32_t then) { return (now - then) & kTickMask; }

  /// Appends a block that was just opened (or sealed in a hurry); returns the ticket that its entry got.
  uint8_t push(Entry entry);
  /// Appends an entry that was taken, as of `tick`, under the ticket it has.
  void push_again(Entry entry, uint32_t tick);
  /// Takes the oldest entry if it is at least `age_min` ticks old.
  std::optional<Entry> pop(uint32_t age_min);
  /// When the oldest entry reaches the age; nullopt if the queue is empty.
  std::optional<std::chrono::milliseconds> until_age(uint32_t age_min) const;
  size_t size() const;

 private:
  void append(Entry entry);

  const Clock& clock_;
  std::function<void()> on_first_;
  mutable Mutex mutex_;
  std::deque<Entry> entries_ GUARDED_BY(mutex_);
  std::atomic<uint8_t> next_ticket_ = 0;
};

}  // namespace ztmpfs
