#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/memory_usage.h"
#include "pool/pool.h"

namespace ztmpfs {

namespace {

// What is copied under a class's mutex at a time: some microseconds, less than a page fault.
constexpr uint32_t kBytesPerStep = 8 * 1024;
constexpr std::chrono::microseconds kWayPause{20};
constexpr int kWayPausesMax = 50;

// Lets those who wait for the class go first. Woken threads take their time, so yielding alone would not do.
void make_way(const ClassMutex& mutex) {
  for (int pause = 0; pause < kWayPausesMax && mutex.is_wanted(); ++pause) std::this_thread::sleep_for(kWayPause);
}

}  // namespace

Bytes Pool::compactable() const {
  Bytes pages = 0;
  for (const auto& spans : spans_) {
    MutexLock lock(spans->mutex);
    pages += spans->spans_freeable() * spans->size_class().pages_per_span;
  }
  return pages * kPageSize;
}

CompactResult Pool::compact(Bytes budget) {
  const uint64_t pages_max = budget / kPageSize + (budget % kPageSize != 0 ? 1 : 0);
  CompactResult result;
  for (auto spans = spans_.rbegin(); spans != spans_.rend() && result.pages_freed < pages_max; ++spans)
    compact_class(**spans, pages_max, result);
  pages_compacted_.fetch_add(result.pages_freed, std::memory_order_relaxed);
  return result;
}

void Pool::compact_class(SlotSpans& spans, uint64_t pages_max, CompactResult& result) {
  if (spans.compacting.test_and_set(std::memory_order_acquire)) {
    result.stuck = true;
    return;
  }
  const SizeClass& size_class = spans.size_class();
  const uint32_t objects_max = std::max(1U, kBytesPerStep / size_class.object_size);
  SlotSpans::Mover mover{.move = [&](Handle handle, SlotSpans::Place from, SlotSpans::Place to) {
    result.bytes_moved += relocate(spans, handle, from, to);
  }};
  // What is swapped out would have to be read back first: the opposite of what compaction is for.
  if (is_swap_in_use())
    mover.is_usable = [&](uint32_t page) { return arena_.is_resident(page, size_class.pages_per_span); };
  // Kept as long as it has room, so that what was moved is not moved again.
  uint32_t destination = SlotSpans::kNoPage;
  while (result.pages_freed < pages_max) {
    SlotSpans::CompactStep step;
    {
      MutexLock lock(spans.mutex);
      step = spans.compact_step(destination, objects_max, mover);
    }
    if (step.emptied_page != SlotSpans::kNoPage) {
      arena_.discard(step.emptied_page, size_class.pages_per_span);
      result.pages_freed += size_class.pages_per_span;
    }
    result.stuck |= step.stuck;
    if (step.objects_moved == 0) break;
    make_way(spans.mutex);
  }
  spans.compacting.clear(std::memory_order_release);
}

// Order for a crash: the bytes, then the location that makes them count. Where they were is free only in memory of this
// process. Returns how many bytes it copied.
uint32_t Pool::relocate(SlotSpans& spans, Handle handle, SlotSpans::Place from, SlotSpans::Place to) {
  HandleRecord& record = handles_[handle];
  Location location = Location::decode(record.location.load(std::memory_order_relaxed));
  const uint32_t length = location.layout(record.size).slot_bytes;
  const SizeClass& size_class = spans.size_class();
  const auto slot = [&](SlotSpans::Place place) {
    return arena_.bytes(place.first_page, size_class.pages_per_span).data() +
           size_t(place.slot) * size_class.object_size;
  };
  std::memcpy(slot(to), slot(from), length);
  location.span_page = to.first_page;
  location.slot = to.slot;
  record.location.store(location.encode(), std::memory_order_release);
  return length;
}

}  // namespace ztmpfs
