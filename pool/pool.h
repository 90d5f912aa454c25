#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
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
#include "pool/size_class.h"

namespace ztmpfs {

/// Names an object of the pool for as long as the object lives, wherever its bytes are moved to. 0 is no object.
using Handle = uint32_t;

/// Where and what an object is. Durable (region kHandles); `location` is stored last and cleared first.
struct HandleRecord {
  std::atomic<uint64_t> location;  ///< 0: free. Else see pool.cc: class, first page of the span, index in the span
  uint64_t tag;                    ///< belongs to the pool's user (the store keeps codec and checksum in it)
  uint32_t owner;                  ///< belongs to the pool's user (the store keeps its slot number in it)
  uint32_t size;                   ///< bytes asked for; the class follows from the location
};

/// Keeps an object's bytes where they are: compaction skips the span while a pin on it exists.
/// Lives in process memory only. Movable, not copyable. The bytes may be written by whoever may write the object.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class Pool;
  Pin(std::span<std::byte> bytes, std::atomic<uint32_t>& pins) : bytes_(bytes), pins_(&pins) {}

  std::span<std::byte> bytes_;
  std::atomic<uint32_t>* pins_ = nullptr;
};

/// Figures of one size class, in the kernel's words (zsmalloc.rst).
struct SizeClassStats {
  uint32_t object_size;
  uint32_t pages_per_span;
  uint32_t objects_per_span;
  uint64_t objects_allocated;  ///< slots in all spans of the class
  uint64_t objects_used;
  uint64_t pages_used;
  uint64_t pages_freeable;  ///< floor((allocated - used) / objects_per_span) * pages_per_span
};

struct PoolStats {
  uint64_t objects_used;
  Bytes payload;          ///< sum of the sizes asked for
  Bytes span_bytes;       ///< resident memory of spans in use
  Bytes free_span_bytes;  ///< resident memory of the stock of free spans
  Bytes freeable;         ///< what compaction could free, from counters alone
  Bytes resident() const { return span_bytes + free_span_bytes; }
};

/// Stores byte strings in size classes on an Arena, as zsmalloc does (mm/zsmalloc.c), and returns handles that stay
/// valid while the bytes are moved.
///
/// Thread-safe. Locks: one mutex per size class, below it the arena's and the handle table's. An object's bytes are
/// not locked by the pool: its user sees to it that nobody reads what another writes or frees.
class Pool {
 public:
  /// The largest object: the largest block.
  static constexpr Bytes kObjectSizeMax = 128 * kKiB;

  /// `stock_max`: how much memory of freed spans is kept resident for the next allocations.
  Pool(Region handles, Arena& arena, MemoryBudget& budget, Bytes stock_max);
  ~Pool();

  /// Rebuilds everything derived from the handle table of an existing image; is_live(handle, record) tells whether
  /// its owner still refers to an object. Those that are not live are freed. Reads no payload page.
  /// Throws std::runtime_error if a record cannot be right (two objects in one place, a place outside the arena).
  void attach(const std::function<bool(Handle, const HandleRecord&)>& is_live);

  /// A new object of 1 to kObjectSizeMax bytes, its bytes undefined. ENOSPC at the memory cap.
  /// Durable once it returns; an object that its owner does not refer to yet is freed by attach().
  Result<Handle> allocate(uint32_t size, uint32_t owner, uint64_t tag);
  /// Frees the object. The memory of a span that becomes empty goes to the stock or back to the OS.
  void free(Handle handle);
  /// The object's bytes (as many as were asked for), pinned.
  Pin pin(Handle handle) const;

  uint32_t size(Handle handle) const;
  uint64_t tag(Handle handle) const;
  /// One store; the caller holds whatever lock keeps others from reading the tag meanwhile.
  void set_tag(Handle handle, uint64_t tag);

  /// The memory an object of `size` bytes takes: the object size of its class.
  uint32_t class_size(uint32_t size) const;
  /// Gives up to `budget` bytes of the stock of free spans back to the OS; returns how much.
  Bytes release_free_spans(Bytes budget);

  PoolStats stats() const;
  std::vector<SizeClassStats> class_stats() const;
  /// Checks every invariant; empty if all hold, else one sentence per breach. The caller sees to it that no
  /// allocation or free runs meanwhile.
  std::vector<std::string> audit() const;

 private:
  class SizeClassPool;
  // (the pool's author fills this in)
};

}  // namespace ztmpfs
