#include "base/memory_budget.h"

namespace ztmpfs {

bool MemoryBudget::try_charge(Bytes bytes, Bytes keep) {
  Bytes image = image_.load(std::memory_order_relaxed);
  // Not add, look and take back: a large charge that fails must not make a small one fail that fits.
  do {
    if (image + bytes + overhead_.load(std::memory_order_relaxed) + keep > limit()) return false;
  } while (!image_.compare_exchange_weak(image, image + bytes, std::memory_order_relaxed));
  note_peak(image + bytes);
  return true;
}

void MemoryBudget::note_peak(Bytes image) {
  const Bytes now = image + overhead_.load(std::memory_order_relaxed);
  Bytes peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
}

}  // namespace ztmpfs
