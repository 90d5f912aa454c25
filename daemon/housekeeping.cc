#include "daemon/housekeeping.h"

#include <malloc.h>
#include <unistd.h>

#include <limits>

#include "base/memory_usage.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::milliseconds kInterval{500};
// Each look costs 0.1 to 0.2 ms of CPU time, most of it for waking up: 60 s of idling are to cost less than 10 ms.
constexpr std::chrono::milliseconds kIdleInterval{2000};
// Between the stock of free spans and what has to be compressed or moved.
constexpr unsigned kHeapCost = 20;

Bytes heap_in_use() {
  const struct mallinfo2 heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

}  // namespace

Housekeeping::Housekeeping(Volume& volume)
    : volume_(volume),
      heap_shrinker_(volume.reclaimer().add({.name = "heap",
                                             .cost = kHeapCost,
                                             .count = [this] { return trimmable(kHeapGainMin); },
                                             .scan = [this](Bytes) { return ShrinkResult{.freed = trim_heap()}; }})) {}

std::chrono::milliseconds Housekeeping::tick(uint64_t requests) {
  idle_steps_ = requests == requests_ ? idle_steps_ + 1 : 0;
  requests_ = requests;
  // The stock is for blocks being written: without open ones for a while it is only memory that others could use.
  calm_steps_ = volume_.store().hot_bytes() == 0 ? calm_steps_ + 1 : 0;
  if (calm_steps_ >= kCalmSteps && volume_.store().reusable_bytes() > 0)
    volume_.fs().try_run_unfrozen([&] { return volume_.pool().release_free_spans(std::numeric_limits<Bytes>::max()); });
  if (idle_steps_ > kIdleSteps) return kIdleInterval;
  if (idle_steps_ <= kSettlingSteps || idle_steps_ == kIdleSteps) {
    keep_heap_trimmed();
    volume_.measure_overhead();
  }
  return kInterval;
}

void Housekeeping::keep_heap_trimmed() {
  const bool is_due = idle_steps_ == kTrimStep || idle_steps_ == kIdleSteps;
  if (is_due || trimmable(kHeapSlack) > 0) trim_heap();
}

// Memory of this process that nobody uses, as far as trimming has not shown yet that it stays: stacks, libraries and
// fragments. 0 if it is less than `least`: to look at it takes some pages of the heap itself.
Bytes Housekeeping::trimmable(Bytes least) const {
  const Bytes kept = heap_in_use() + untrimmable_.load(std::memory_order_relaxed);
  const Bytes anonymous = anonymous_memory(::getpid());
  return anonymous >= kept + least ? anonymous - kept : 0;
}

// Returns how much the process has less.
Bytes Housekeeping::trim_heap() {
  const Bytes before = anonymous_memory(::getpid());
  ::malloc_trim(0);
  const Bytes after = anonymous_memory(::getpid());
  const Bytes used = heap_in_use();
  untrimmable_.store(after > used ? after - used : 0, std::memory_order_relaxed);
  return before > after ? before - after : 0;
}

}  // namespace ztmpfs
