#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace ztmpfs {

/// The largest object: the largest block.
inline constexpr uint32_t kObjectSizeMax = 128 * 1024;
/// The longest run of pages that one object takes.
inline constexpr uint32_t kRunPagesMax = kObjectSizeMax / kPageSize;

/// One size of slot, and the spans that hold them. Slot j of a span begins at j * object_size.
struct SizeClass {
  uint32_t object_size;  ///< bytes of a slot, a multiple of 8
  uint32_t pages_per_span;
  uint32_t objects_per_span;  ///< at most 256: a location keeps the slot number in 8 bits
};

/// Where the bytes of an object go: whole pages of its own, then one slot of a span that it shares. Either may be
/// missing; with both, the run holds the first run_pages * kPageSize bytes.
struct Layout {
  uint32_t run_pages;
  uint32_t slot_bytes;
  bool operator==(const Layout&) const = default;
};

/// The table of classes, ascending: first those of slots (smaller than a page), then runs of 1 to 32 pages.
///
/// The slots follow the kernel's rule (mm/zsmalloc.c, calculate_zspage_chain_size) with the steps that measurement
/// chose: nominal sizes go up by an eighth of the power of two below, but by 16 at least and by 128 at most; a span
/// has the fewest of 1 to 8 pages that leave at most 2 % behind the last slot, else those that leave least; nominal
/// sizes with the same pages and objects are one class, and its slots grow to use up the span. Powers of two fill
/// their span without waste. A run is a class with one object per span, so it has no partly filled spans, and a hot
/// block of 32 KiB is a run of 8 pages.
///
/// Payload / pool pages (lz4 blocks of 32 KiB of the trees of redis, and of redis and git, built): 0.985 and 0.992
/// when fresh, 0.977 and 0.988 after all of it was replaced bit by bit. Contiguous slots for objects above a page, in
/// the best of 100 tables and rules tried, reach 0.947 and 0.967: their spans are up to 128 KiB, and 34 MB of payload
/// leave too many of them partly filled. See docs/decisions.md, "Objects in two pieces".
std::span<const SizeClass> size_classes();

/// How many of size_classes() are slots.
uint32_t slot_class_count();
/// The class of slots for `bytes` (1 to slot_size_max()).
uint32_t slot_class(uint32_t bytes);
/// The largest slot: above it (3584 bytes) a whole page wastes less.
uint32_t slot_size_max();
/// The class of a run of `pages` (1 to kRunPagesMax).
inline uint32_t run_class(uint32_t pages) { return slot_class_count() + pages - 1; }

/// For an object that is written in place: one piece. Exact for powers of two from 16 bytes up.
Layout contiguous_layout(uint32_t size);
/// For an object that is written once: the whole pages of it as a run, the rest in a slot.
Layout packed_layout(uint32_t size);
/// The memory that a layout takes.
uint32_t layout_size(Layout layout);

}  // namespace ztmpfs
