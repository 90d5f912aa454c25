#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <unordered_set>

#include "base/durable_store.h"
#include "base/memory_usage.h"
#include "pool/pool.h"

namespace ztmpfs {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::hours kTimeMax{1};
// What is copied under a class's mutex at a time: some microseconds, less than a page fault.
constexpr uint32_t kBytesPerStep = 8 * 1024;
constexpr std::chrono::microseconds kWayPause{20};
constexpr int kWayPausesMax = 50;
// Asking whether a span is in swap is a system call, made under the class's mutex: so about so many in a step.
constexpr int kLooksPerStep = 16;

// Lets those who wait for the class go first. Woken threads take their time, so yielding alone would not do.
void make_way(const ClassMutex& mutex) {
  for (int pause = 0; pause < kWayPausesMax && mutex.is_wanted(); ++pause) std::this_thread::sleep_for(kWayPause);
}

// The one compactor that a class may have, for as long as it lives.
class CompactingMark {
 public:
  explicit CompactingMark(std::atomic_flag& flag)
      : flag_(flag), is_mine_(!flag.test_and_set(std::memory_order_acquire)) {}
  ~CompactingMark() {
    if (is_mine_) flag_.clear(std::memory_order_release);
  }
  CompactingMark(const CompactingMark&) = delete;
  CompactingMark& operator=(const CompactingMark&) = delete;
  explicit operator bool() const { return is_mine_; }

 private:
  std::atomic_flag& flag_;
  const bool is_mine_;
};

}  // namespace

// How much one call may do.
struct Pool::CompactLimit {
  uint64_t pages;
  Clock::time_point end;
  bool is_met(const CompactResult& result) const { return result.pages_freed >= pages || Clock::now() >= end; }
};

Bytes Pool::compactable() const {
  Bytes pages = 0;
  for (const auto& spans : spans_) {
    MutexLock lock(spans->mutex);
    pages += spans->spans_freeable() * spans->size_class().pages_per_span;
  }
  return pages * kPageSize;
}

CompactResult Pool::compact(Bytes budget, std::chrono::milliseconds time_max) {
  const CompactLimit limit{.pages = budget / kPageSize + (budget % kPageSize != 0 ? 1 : 0),
                           .end = Clock::now() + std::min<Clock::duration>(time_max, kTimeMax)};
  CompactResult result;
  for (auto spans = spans_.rbegin(); spans != spans_.rend() && !limit.is_met(result); ++spans)
    compact_class(**spans, limit, result);
  return result;
}

void Pool::compact_class(SlotSpans& spans, const CompactLimit& limit, CompactResult& result) {
  const SizeClass& size_class = spans.size_class();
  const uint32_t objects_max = std::max(1U, kBytesPerStep / size_class.object_size);
  SlotSpans::Mover mover{.move = [&](Handle handle, SlotSpans::Place from, SlotSpans::Place to) {
    result.bytes_moved += relocate(spans, handle, from, to);
  }};
  // What is swapped out would have to be read back first: the opposite of what compaction is for.
  std::unordered_set<uint32_t> swapped_out;
  int looks = 0;
  if (is_swap_in_use())
    mover.is_usable = [&](uint32_t page) {
      if (looks == kLooksPerStep || swapped_out.contains(page)) return false;
      ++looks;
      return arena_.is_resident(page, size_class.pages_per_span) || !swapped_out.insert(page).second;
    };
  const CompactingMark mark(spans.compacting);
  if (!mark) {
    result.stuck = true;
    return;
  }
  // Kept as long as it has room, so that what was moved is not moved again.
  uint32_t destination = SlotSpans::kNoPage;
  while (!limit.is_met(result)) {
    looks = 0;
    SlotSpans::CompactStep step;
    {
      MutexLock lock(spans.mutex);
      step = spans.compact_step(destination, objects_max, mover);
    }
    if (step.emptied_page != SlotSpans::kNoPage) {
      arena_.discard(step.emptied_page, size_class.pages_per_span);
      result.pages_freed += size_class.pages_per_span;
      pages_compacted_.fetch_add(size_class.pages_per_span, std::memory_order_relaxed);
    }
    if (step.objects_moved == 0 && looks < kLooksPerStep) {
      result.stuck |= step.stuck;
      break;
    }
    make_way(spans.mutex);
  }
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
  durable_store(record.location, location.encode());
  return length;
}

}  // namespace ztmpfs
