#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/durable_table.h"
#include "base/memory_budget.h"
#include "base/mutex.h"
#include "base/result.h"
#include "pool/arena.h"
#include "pool/handle_record.h"
#include "pool/location.h"
#include "pool/pin.h"
#include "pool/pool_stats.h"
#include "pool/size_class.h"
#include "pool/slot_spans.h"

namespace ztmpfs {

/// Stores byte strings in size classes on an Arena, as zsmalloc does (mm/zsmalloc.c), and returns handles that stay
/// valid while the bytes are moved.
///
/// Thread-safe. Locks: one mutex per class of slots; the arena's and the handle table's are leaves and never taken
/// together with it (what compaction moves was taken before). An object's bytes are not locked by the pool: its user
/// sees to it that nobody reads what another writes or frees.
class Pool {
 public:
  /// The largest object: the largest block.
  static constexpr Bytes kObjectSizeMax = ztmpfs::kObjectSizeMax;

  /// `stock_max`: how much memory of freed spans is kept resident for the next allocations.
  /// Throws std::invalid_argument for an arena of more than 1 TiB.
  Pool(Region handles, Arena& arena, MemoryBudget& budget, Bytes stock_max);
  ~Pool();

  /// Rebuilds everything derived from the handle table of an existing image; is_live(handle, record) tells whether
  /// its owner still refers to an object. Those that are not live are freed. Reads no payload page.
  /// Throws std::runtime_error if a record cannot be right (two objects in one place, a place outside the arena).
  void attach(const std::function<bool(Handle, const HandleRecord&)>& is_live);

  /// A new object of 1 to kObjectSizeMax bytes, its bytes undefined, in one piece that may be written through a Pin.
  /// Takes whole pages from 3585 bytes on: for sizes that are powers of two (no waste). ENOSPC at the memory cap, but
  /// not for what was promised. Durable once it returns; an object that its owner does not refer to yet is freed by
  /// attach().
  Result<Handle> allocate(uint32_t size, uint32_t owner, uint64_t tag, Admission admission = Admission::kCapped);
  /// A new object that holds `bytes` and is never written again, packed densely: beyond a page its whole pages lie
  /// apart from its rest. pin() then returns a copy, put together. Otherwise as allocate().
  Result<Handle> allocate_packed(std::span<const std::byte> bytes, uint32_t owner, uint64_t tag,
                                 Admission admission = Admission::kCapped);
  /// Frees the object. The memory of a span that becomes empty goes to the stock or back to the OS.
  void free(Handle handle);
  /// The object's bytes (as many as were asked for), pinned.
  Pin pin(Handle handle) const;

  /// For handles that come from outside: whether there is such an object, and it is this owner's.
  bool is_owned_by(Handle handle, uint32_t owner) const {
    return handles_.contains(handle) && handles_[handle].owner == owner;
  }
  uint32_t size(Handle handle) const;
  uint64_t tag(Handle handle) const;
  /// One store; the caller holds whatever lock keeps others from reading the tag meanwhile.
  void set_tag(Handle handle, uint64_t tag);

  /// The memory a packed object of `size` bytes takes; for powers of two allocate() takes the same.
  uint32_t class_size(uint32_t size) const;
  /// Changes how much memory of freed spans is kept from now on.
  void set_stock_max(Bytes stock_max) { arena_.set_stock_max(stock_max); }
  /// Gives up to `budget` bytes (rounded up to pages) of the stock of free spans back to the OS; returns how much.
  Bytes release_free_spans(Bytes budget);

  /// What compact() could free now, from counters alone: the sum over the classes of zs_can_compact() (mm/zsmalloc.c).
  /// The stock of free spans is not in it.
  Bytes compactable() const;
  /// Moves objects of partly filled spans together until about `budget` bytes are freed, or no more pages can be: then
  /// compactable() is 0, unless spans were pinned or freed meanwhile. Moves nothing that frees nothing. Handles stay
  /// valid. Classes go from the largest to the smallest as in zs_compact(); each is locked for a few objects at a time,
  /// so everybody else goes on. Freed spans go to the OS, not to the stock. Ends soon after `time_max`. Several threads
  /// may call it.
  CompactResult compact(Bytes budget = std::numeric_limits<Bytes>::max(),
                        std::chrono::milliseconds time_max = std::chrono::minutes(10));

  /// Resident memory of the stock of free spans.
  Bytes free_span_bytes() const { return arena_.stock(); }
  /// Resident memory of all spans, those of the stock too.
  Bytes resident() const { return arena_.used() + arena_.stock(); }
  PoolStats stats() const;
  /// One entry per class, ascending by size.
  std::vector<SizeClassStats> class_stats() const;
  /// Checks every invariant; empty if all hold, else one sentence per breach. The caller sees to it that no
  /// allocation or free runs meanwhile.
  std::vector<std::string> audit() const;

 private:
  // Where an object's bytes are now; `pins` was raised and keeps the slot there.
  struct Pieces {
    std::span<std::byte> run;
    std::span<std::byte> slot;
    std::atomic<uint32_t>* pins = nullptr;
  };
  class Audit;

  // An object that is to be: what its record says, where it is to lie, and whether it may be refused.
  struct Order {
    HandleRecord contents;
    Layout layout;
    Admission admission;
  };
  Result<Handle> create(const Order& order);
  Result<void> place(Handle handle, const Order& order);
  Result<void> place_slot(Handle handle, const Order& order, Location location);
  void publish(Handle handle, const HandleRecord& contents, Location location);
  Pieces pin_pieces(Handle handle) const;
  void adopt(Handle handle, const HandleRecord& record);
  struct CompactLimit;
  void compact_class(SlotSpans& spans, const CompactLimit& limit, CompactResult& result);
  uint32_t relocate(SlotSpans& spans, Handle handle, SlotSpans::Place from, SlotSpans::Place to);
  SlotSpans& spans_for(uint32_t slot_bytes) const { return *spans_[slot_class(slot_bytes)]; }

  Arena& arena_;
  const Region handle_region_;
  DurableTable<HandleRecord> handles_;
  std::vector<std::unique_ptr<SlotSpans>> spans_;                    // by slot class
  std::array<std::atomic<uint64_t>, kRunPagesMax + 1> runs_used_{};  // by length in pages
  std::atomic<uint64_t> objects_used_ = 0;
  std::atomic<Bytes> payload_ = 0;
  std::atomic<uint64_t> pages_compacted_ = 0;
};

}  // namespace ztmpfs
