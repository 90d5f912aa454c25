#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pool/class_mutex.h"
#include "pool/handle_record.h"
#include "pool/page_bits.h"
#include "pool/pool_stats.h"
#include "pool/size_class.h"

namespace ztmpfs {

/// The spans of one class of slots: which object lies in which slot, grouped by fullness as the kernel does
/// (mm/zsmalloc.c, get_fullness_group), but with one group per count of objects: so the fullest span is the fullest,
/// and compaction moves as few objects as can be. Derived state in process memory; knows pages by number only.
///
/// The caller holds `mutex` across a change here and the store of the object's location, so under the mutex a slot's
/// handle and that handle's location always name each other.
class SlotSpans {
 public:
  static constexpr uint32_t kNoPage = ~0U;

  explicit SlotSpans(const SizeClass& size_class) : size_class_(size_class), groups_(size_class.objects_per_span) {}

  struct Place {
    uint32_t first_page;
    uint32_t slot;
  };

  mutable ClassMutex mutex;
  /// Set while the class is being compacted: one compactor at a time.
  std::atomic_flag compacting;

  const SizeClass& size_class() const { return size_class_; }

  /// Gives `handle` the lowest free slot of the fullest span that has one; nullopt if all are full.
  std::optional<Place> take(Handle handle) REQUIRES(mutex);
  /// Adds an empty span and gives `handle` its first slot.
  Place add(uint32_t first_page, Handle handle) REQUIRES(mutex);
  /// Frees a slot. True if its span became empty: it is forgotten, and its pages are the caller's to release.
  [[nodiscard]] bool put(Place place, Handle handle) REQUIRES(mutex);
  /// The number of pins on a span, for the caller to raise. Lowering it takes no lock. Stays where it is for as long
  /// as the span has objects.
  std::atomic<uint32_t>& pins(uint32_t first_page) REQUIRES(mutex);

  /// How many spans would be left over if the others were filled up: the kernel's zs_can_compact(), in spans.
  uint64_t spans_freeable() const REQUIRES(mutex);
  /// What compaction leaves to its caller.
  struct Mover {
    /// Called for an object that changes its slot: moves the bytes and stores the location.
    std::function<void(Handle, Place from, Place to)> move;
    /// Whether a span may be read and written now. Empty: every one.
    std::function<bool(uint32_t first_page)> is_usable{};
  };
  struct CompactStep {
    uint32_t emptied_page = kNoPage;  ///< first page of a span that was emptied: forgotten, the caller's to release
    uint32_t objects_moved = 0;
    bool stuck = false;  ///< a span could be freed, but those to be emptied are pinned or not usable
  };
  /// Moves up to `objects_max` objects from the emptiest span that is not pinned to `destination`, or if that is full
  /// or gone to the fullest one, which becomes the destination. Nothing if no span can be freed.
  CompactStep compact_step(uint32_t& destination, uint32_t objects_max, const Mover& mover) REQUIRES(mutex);

  /// Attach only: what put() would undo. False if the slot is taken or there is no such slot.
  enum class Adopted { kConflict, kInKnownSpan, kInNewSpan };
  Adopted adopt(Place place, Handle handle) REQUIRES(mutex);

  SizeClassStats stats() const REQUIRES(mutex);
  /// The object in a slot; 0 if the slot is free or there is none.
  Handle handle_at(Place place) const REQUIRES(mutex);
  /// Appends one sentence per broken invariant.
  void audit(std::vector<std::string>& breaches) const REQUIRES(mutex);

 private:
  struct Span {
    Span(uint32_t page, uint32_t slots) : handles(std::make_unique<Handle[]>(slots)), first_page(page) {}

    std::unique_ptr<Handle[]> handles;  // by slot; 0: free. The way back from bytes to object, for compaction
    std::atomic<uint32_t> pins = 0;
    Span* next = nullptr;  // in its group
    Span* previous = nullptr;
    uint32_t first_page;
    uint16_t used = 0;
    uint16_t lowest_free = 0;  // no slot below it is free
  };

  bool is_full(const Span& span) const { return span.used == size_class_.objects_per_span; }
  void join_group(Span& span) REQUIRES(mutex);
  void leave_group(Span& span) REQUIRES(mutex);
  uint32_t take_slot(Span& span, Handle handle) REQUIRES(mutex);
  Span& find(uint32_t first_page) REQUIRES(mutex);
  Span* find_source(const Span* except, const Mover& mover) REQUIRES(mutex);
  Span* find_destination(const Span* except, const Mover& mover) REQUIRES(mutex);
  Span* kept_destination(uint32_t first_page) REQUIRES(mutex);
  uint32_t pour(Span& source, Span& destination, uint32_t objects_max, const Mover& mover) REQUIRES(mutex);
  void audit_span(const Span& span, std::vector<std::string>& breaches) const REQUIRES(mutex);

  const SizeClass size_class_;
  std::unordered_map<uint32_t, Span> spans_ GUARDED_BY(mutex);  // by first page
  // Group g lists the spans with g objects, the latest to join first. Full spans are in no group, and empty ones do
  // not exist.
  std::vector<Span*> groups_ GUARDED_BY(mutex);
  PageBits occupied_ GUARDED_BY(mutex);  // the groups that are not empty
  uint64_t used_ GUARDED_BY(mutex) = 0;
};

}  // namespace ztmpfs
