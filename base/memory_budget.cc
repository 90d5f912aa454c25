#include "base/memory_budget.h"

#include <algorithm>

namespace ztmpfs {

bool MemoryBudget::try_charge(Bytes bytes, Admission admission, Bytes keep) {
  if (admission == Admission::kCapped) return try_take(bytes, keep);
  if (admission == Admission::kReserved) return try_take(bytes, reserve() / 4);
  charge(bytes);
  return true;
}

bool MemoryBudget::try_take(Bytes bytes, Bytes keep) {
  Bytes taken = taken_.load(std::memory_order_relaxed);
  // Not add, look and take back: a large charge that fails must not make a small one fail that fits.
  do {
    const Bytes room = limit() - std::min(limit(), taken + overhead() + keep);
    if (bytes > room) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + bytes, std::memory_order_relaxed));
  note_peak(taken + bytes);
  return true;
}

bool MemoryBudget::try_promise(Bytes bytes) {
  // Before the sum: a peak that is measured meanwhile must not count it as memory.
  promised_.fetch_add(bytes, std::memory_order_relaxed);
  if (try_take(bytes, reserve())) return true;
  promised_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void MemoryBudget::promise(Bytes bytes) {
  promised_.fetch_add(bytes, std::memory_order_relaxed);
  taken_.fetch_add(bytes, std::memory_order_relaxed);
}

void MemoryBudget::end_promise(Bytes bytes) {
  taken_.fetch_sub(bytes, std::memory_order_relaxed);
  promised_.fetch_sub(bytes, std::memory_order_relaxed);
}

void MemoryBudget::note_peak(Bytes taken) {
  const Bytes now = image(taken) + overhead();
  Bytes peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace ztmpfs
