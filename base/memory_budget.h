#pragma once

#include <atomic>

#include "base/bytes.h"

namespace ztmpfs {

/// Whether memory may be refused at the cap.
enum class Admission {
  kCapped,
  kReserved,  ///< may go further: what cannot be refused to the one who wrote it any more, and what frees memory
  kPromised,  ///< charged in any case: the promise is kept, and ends, with that
};

/// The cap on all memory of a mount, and what counts against it. Lock-free, safe from any thread.
///
/// Pages of the image are charged before they are touched. What no counter of ours sees (the heap and stacks of the
/// server and the holder) is measured from time to time and set as `overhead`. What fallocate(2) promises takes no
/// memory, but nobody else gets it.
class MemoryBudget {
 public:
  /// Contents stop at limit - reserve; metadata may go on to limit - reserve / 2, and both to limit - reserve / 4 if
  /// they are kReserved; the rest keeps deletes working.
  MemoryBudget(Bytes limit, Bytes reserve) : limit_(limit), reserve_(reserve) {}

  /// Charges `bytes` of file contents; false (and nothing charged) at the cap.
  bool try_charge_contents(Bytes bytes, Admission admission = Admission::kCapped) {
    return try_charge(bytes, admission, reserve());
  }
  /// Charges `bytes` of metadata; false (and nothing charged) at the cap.
  bool try_charge_metadata(Bytes bytes, Admission admission = Admission::kCapped) {
    return try_charge(bytes, admission, reserve() / 2);
  }
  /// Charges what is already resident, whatever the cap says (attach, request buffers).
  void charge(Bytes bytes) { note_peak(taken_.fetch_add(bytes, std::memory_order_relaxed) + bytes); }
  void uncharge(Bytes bytes) { taken_.fetch_sub(bytes, std::memory_order_relaxed); }

  /// Promises `bytes` of file contents; false (and nothing promised) if what others keep free does not reach.
  bool try_promise(Bytes bytes);
  /// Promises what was promised before in another way (attach), whatever the cap says.
  void promise(Bytes bytes);
  void end_promise(Bytes bytes);
  Bytes promised() const { return promised_.load(std::memory_order_relaxed); }

  void set_overhead(Bytes bytes) {
    overhead_.store(bytes, std::memory_order_relaxed);
    note_peak(taken_.load(std::memory_order_relaxed));
  }
  /// What is charged beyond a lower limit stays charged; nothing more is granted until it has become less.
  void set_limit(Bytes limit) { limit_.store(limit, std::memory_order_relaxed); }
  void set_reserve(Bytes reserve) { reserve_.store(reserve, std::memory_order_relaxed); }

  Bytes limit() const { return limit_.load(std::memory_order_relaxed); }
  Bytes reserve() const { return reserve_.load(std::memory_order_relaxed); }
  /// Image pages charged plus overhead.
  Bytes used() const { return image(taken_.load(std::memory_order_relaxed)) + overhead(); }
  /// used(), and what is promised.
  Bytes taken() const { return taken_.load(std::memory_order_relaxed) + overhead(); }
  /// The highest used() so far.
  Bytes peak() const { return peak_.load(std::memory_order_relaxed); }
  /// What contents may still take before they meet the cap.
  Bytes available() const {
    const Bytes kept = taken() + reserve();
    return kept >= limit() ? 0 : limit() - kept;
  }

 private:
  bool try_charge(Bytes bytes, Admission admission, Bytes keep);
  bool try_take(Bytes bytes, Bytes keep);
  void note_peak(Bytes taken);
  Bytes overhead() const { return overhead_.load(std::memory_order_relaxed); }
  // A promise that is kept or ended meanwhile is out of one sum first.
  Bytes image(Bytes taken) const {
    const Bytes promised = promised_.load(std::memory_order_relaxed);
    return taken - (promised < taken ? promised : taken);
  }

  std::atomic<Bytes> limit_;
  std::atomic<Bytes> reserve_;
  std::atomic<Bytes> taken_ = 0;     // image pages charged and bytes promised, in one word: they share the room
  std::atomic<Bytes> promised_ = 0;  // of these
  std::atomic<Bytes> overhead_ = 0;
  std::atomic<Bytes> peak_ = 0;
};

}  // namespace ztmpfs
