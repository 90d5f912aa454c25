#include "base/memory_budget.h"

namespace ztmpfs {

bool MemoryBudget::try_charge(Bytes bytes, Bytes keep) {
  const Bytes image = image_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (image + overhead_.load(std::memory_order_relaxed) + keep > limit()) {
    uncharge(bytes);
    return false;
  }
  note_peak(image);
  return true;
}

void MemoryBudget::note_peak(Bytes image) {
  const Bytes now = image + overhead_.load(std::memory_order_relaxed);
  Bytes peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace ztmpfs
