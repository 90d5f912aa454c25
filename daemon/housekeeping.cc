#include "daemon/housekeeping.h"

#include <malloc.h>
#include <unistd.h>

#include <limits>

#include "base/memory_usage.h"

namespace ztmpfs {

Housekeeping::Housekeeping(Volume& volume, pid_t holder) : volume_(volume), holder_(holder) {}

void Housekeeping::tick(uint64_t requests) {
  idle_ticks_ = requests == requests_ ? idle_ticks_ + 1 : 0;
  requests_ = requests;
  // The stock is for blocks being written: without open ones for a while it is only memory that others could use.
  calm_ticks_ = volume_.store().hot_bytes() == 0 ? calm_ticks_ + 1 : 0;
  if (calm_ticks_ >= kCalmTicks && volume_.store().reusable_bytes() > 0)
    volume_.pool().release_free_spans(std::numeric_limits<Bytes>::max());
  if (idle_ticks_ > kSettlingTicks) return;
  trim_heap(anonymous_memory(::getpid()));
  volume_.budget().set_overhead(anonymous_memory(::getpid()) + anonymous_memory(holder_));
}

void Housekeeping::trim_heap(Bytes anonymous) {
  const struct mallinfo2 heap = ::mallinfo2();
  const Bytes used = heap.uordblks + heap.hblkhd;
  if (anonymous <= used + untrimmable_ + kHeapSlack) return;
  ::malloc_trim(0);
  // Stacks, libraries and fragments: trying again at every tick would find the same.
  const Bytes left = anonymous_memory(::getpid());
  untrimmable_ = left > used ? left - used : 0;
}

}  // namespace ztmpfs
