#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/image.h"
#include "base/memory_budget.h"
#include "base/mutex.h"
#include "base/result.h"
#include "pool/page_bits.h"
#include "pool/run_index.h"

namespace ztmpfs {

/// Hands out runs of 1 to kRunPagesMax pages of the image's data region, resident and charged to the budget, and
/// gives them back to the OS.
///
/// Any length may begin at any page, but no run crosses a chunk of 1 MiB; the lowest place wins, so that high parts
/// drain. Address space is four times the memory, which is enough for any order of runs of up to 32 pages: first fit
/// needs at most log2(32) / 2 + 1 = 3.5 times (Robson 1974; our lengths are no powers of two, so this is a guide).
/// Freed pages stay resident as the stock, up to a limit: to make a page resident costs 0.65 s per GiB, to write
/// into one that is costs 0.03, to give one back 0.3.
///
/// Thread-safe: one mutex, held for bit operations only, never while pages are populated or punched. All of it is
/// derived state: what is durable about the arena is which handle records point into it.
class Arena {
 public:
  /// Nothing is taken and no page is touched; for an image that holds objects, adopt() them and finish_attach().
  Arena(Region region, MemoryBudget& budget);

  /// How much freed memory stays resident for the next allocations (0 at first). What is above it is not given
  /// back here: see release_stock().
  void set_stock_max(Bytes stock_max);

  /// A run of `pages` pages, resident, contents undefined; returns the number of its first page. From the stock if
  /// it has such a run. no_space_on_device at the memory cap (once the stock is used up; not for what was promised), or
  /// if the machine has no memory or the arena no address space.
  Result<uint32_t> allocate(uint32_t pages, Admission admission = Admission::kCapped);
  /// Takes a run back into the stock. If that is too large now, its highest pages (a sixteenth of the limit more than
  /// needed, so that neighbours go together) go to the OS before this returns.
  void release(uint32_t first_page, uint32_t pages);
  /// Gives a run back to the OS at once, whatever the stock may hold.
  void discard(uint32_t first_page, uint32_t pages);
  /// Gives `bytes` of the stock, rounded up to pages, or all of it back to the OS, highest first; returns how much.
  Bytes release_stock(Bytes bytes);

  /// The memory of a run.
  std::span<std::byte> bytes(uint32_t first_page, uint32_t pages) const {
    return {region_.base() + Bytes(first_page) * kPageSize, size_t(pages) * kPageSize};
  }
  /// Whether all of a run that is in use is in memory now, and not in swap; false if it cannot be told (mincore(2)).
  bool is_resident(uint32_t first_page, uint32_t pages) const;
  uint32_t pages() const { return uint32_t(region_.length() / kPageSize); }

  /// Attach only: takes a run that an object lies in. False if part of it is taken already, it crosses a chunk or
  /// lies outside the arena.
  [[nodiscard]] bool adopt(uint32_t first_page, uint32_t pages);
  /// Attach only, after the last adopt(): charges the budget for what is taken and gives all other resident pages
  /// back to the OS. Throws std::runtime_error if a page that is taken is not there.
  void finish_attach();

  /// Memory handed out, and memory kept resident for the next allocations.
  Bytes used() const;
  Bytes stock() const;
  /// Appends one sentence per broken invariant. No other call may run meanwhile.
  void audit(std::vector<std::string>& breaches) const;

 private:
  // All pages that are used are resident; resident pages that are not used are the stock. While pages are punched
  // outside the lock they count as used, so nobody takes them.
  struct Chunk {
    PageBits used;
    PageBits resident;
    PageBits stock() const { return resident & ~used; }
  };

  uint32_t take_stock(uint32_t pages);
  uint32_t take_fresh(uint32_t pages, Admission admission);
  struct Run {
    uint32_t first_page = 0;
    uint32_t pages = 0;
  };
  Run isolate_stock(uint32_t pages_max);
  void finish_attach_run(Bytes offset, Bytes length);
  Chunk& chunk_of(uint32_t page) REQUIRES(mutex_) { return chunks_[page / PageBits::kPages]; }
  void grow_to(uint32_t chunk) REQUIRES(mutex_);
  void note_change(uint32_t chunk) REQUIRES(mutex_);
  void audit_chunk(uint32_t chunk, std::vector<std::string>& breaches) const REQUIRES(mutex_);

  const Region region_;
  MemoryBudget& budget_;
  mutable Mutex mutex_;
  std::vector<Chunk> chunks_ GUARDED_BY(mutex_);  // as far up as the arena was ever used
  RunIndex free_runs_ GUARDED_BY(mutex_);         // of pages that are not used, resident or not
  RunIndex stock_runs_ GUARDED_BY(mutex_);
  Bytes stock_max_ GUARDED_BY(mutex_) = 0;
  uint64_t pages_used_ GUARDED_BY(mutex_) = 0;
  uint64_t pages_stocked_ GUARDED_BY(mutex_) = 0;
};

}  // namespace ztmpfs
