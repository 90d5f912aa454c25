#pragma once

#include <atomic>

#include "base/bytes.h"

namespace ztmpfs {

/// The cap on all memory of a mount, and what counts against it. Lock-free, safe from any thread.
///
/// Pages of the image are charged before they are touched. What no counter of ours sees (the heap and stacks of the
/// server and the holder) is measured from time to time and set as `overhead`.
class MemoryBudget {
 public:
  /// Contents stop at limit - reserve; metadata may go on to limit - reserve / 2; the rest keeps deletes working.
  MemoryBudget(Bytes limit, Bytes reserve) : limit_(limit), reserve_(reserve) {}

  /// Charges `bytes` of file contents; false (and nothing charged) at the cap.
  bool try_charge_contents(Bytes bytes) { return try_charge(bytes, reserve_); }
  /// Charges `bytes` of metadata; false (and nothing charged) at the cap.
  bool try_charge_metadata(Bytes bytes) { return try_charge(bytes, reserve_ / 2); }
  /// Charges what is already resident, whatever the cap says (attach, request buffers).
  void charge(Bytes bytes) { note_peak(image_.fetch_add(bytes, std::memory_order_relaxed) + bytes); }
  void uncharge(Bytes bytes) { image_.fetch_sub(bytes, std::memory_order_relaxed); }

  void set_overhead(Bytes bytes) {
    overhead_.store(bytes, std::memory_order_relaxed);
    note_peak(image_.load(std::memory_order_relaxed));
  }
  void set_limit(Bytes limit) { limit_.store(limit, std::memory_order_relaxed); }

  Bytes limit() const { return limit_.load(std::memory_order_relaxed); }
  Bytes reserve() const { return reserve_; }
  /// Image pages charged plus overhead.
  Bytes used() const { return image_.load(std::memory_order_relaxed) + overhead_.load(std::memory_order_relaxed); }
  /// The highest used() so far.
  Bytes peak() const { return peak_.load(std::memory_order_relaxed); }
  /// What contents may still take before they meet the cap.
  Bytes available() const {
    const Bytes taken = used() + reserve_;
    return taken >= limit() ? 0 : limit() - taken;
  }

 private:
  bool try_charge(Bytes bytes, Bytes keep);
  void note_peak(Bytes image);

  std::atomic<Bytes> limit_;
  const Bytes reserve_;
  std::atomic<Bytes> image_ = 0;
  std::atomic<Bytes> overhead_ = 0;
  std::atomic<Bytes> peak_ = 0;
};

}  // namespace ztmpfs
