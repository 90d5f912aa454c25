#include "daemon/housekeeping.h"

#include <malloc.h>
#include <unistd.h>

#include <limits>

#include "base/memory_usage.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::milliseconds kInterval{500};
constexpr std::chrono::milliseconds kIdleInterval{1000};

}  // namespace

Housekeeping::Housekeeping(Volume& volume) : volume_(volume) {}

std::chrono::milliseconds Housekeeping::tick(uint64_t requests) {
  idle_steps_ = requests == requests_ ? idle_steps_ + 1 : 0;
  requests_ = requests;
  // The stock is for blocks being written: without open ones for a while it is only memory that others could use.
  calm_steps_ = volume_.store().hot_bytes() == 0 ? calm_steps_ + 1 : 0;
  if (calm_steps_ >= kCalmSteps && volume_.store().reusable_bytes() > 0)
    volume_.pool().release_free_spans(std::numeric_limits<Bytes>::max());
  if (idle_steps_ > kIdleSteps) return kIdleInterval;
  if (idle_steps_ <= kSettlingSteps || idle_steps_ == kIdleSteps) {
    trim_heap();
    volume_.measure_overhead();
  }
  return kInterval;
}

void Housekeeping::trim_heap() {
  const struct mallinfo2 heap = ::mallinfo2();
  const Bytes used = heap.uordblks + heap.hblkhd;
  const bool is_due = idle_steps_ == kTrimStep || idle_steps_ == kIdleSteps;
  if (!is_due && anonymous_memory(::getpid()) <= used + untrimmable_ + kHeapSlack) return;
  ::malloc_trim(0);
  // Stacks, libraries and fragments: trying again at every step would find the same.
  const Bytes left = anonymous_memory(::getpid());
  untrimmable_ = left > used ? left - used : 0;
}

}  // namespace ztmpfs
