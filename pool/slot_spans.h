#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "pool/handle_record.h"
#include "pool/pool_stats.h"
#include "pool/size_class.h"

namespace ztmpfs {

/// The spans of one class of slots: which object lies in which slot, grouped by fullness as the kernel does
/// (mm/zsmalloc.c, get_fullness_group). Derived state in process memory; knows pages by number only.
///
/// The caller holds `mutex` across a change here and the store of the object's location, so under the mutex a slot's
/// handle and that handle's location always name each other.
class SlotSpans {
 public:
  explicit SlotSpans(const SizeClass& size_class) : size_class_(size_class) {}

  struct Place {
    uint32_t first_page;
    uint32_t slot;
  };

  mutable Mutex mutex;

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
    uint32_t first_page;
    uint32_t position = 0;  // in its group
    uint16_t used = 0;
    uint16_t lowest_free = 0;  // no slot below it is free
  };

  // Group g holds the spans that are full to [10 * g, 10 * g + 10) percent. Full spans are in no group, and empty
  // ones do not exist.
  static constexpr uint32_t kGroups = 10;
  static constexpr uint32_t kFull = kGroups;

  uint32_t group_of(const Span& span) const;
  void join_group(Span& span) REQUIRES(mutex);
  void leave_group(Span& span) REQUIRES(mutex);
  uint32_t take_slot(Span& span, Handle handle) REQUIRES(mutex);
  Span& find(uint32_t first_page) REQUIRES(mutex);
  void audit_span(const Span& span, std::vector<std::string>& breaches) const REQUIRES(mutex);

  const SizeClass size_class_;
  std::unordered_map<uint32_t, Span> spans_ GUARDED_BY(mutex);  // by first page
  std::array<std::vector<Span*>, kGroups> groups_ GUARDED_BY(mutex);
  uint64_t used_ GUARDED_BY(mutex) = 0;
};

}  // namespace ztmpfs
