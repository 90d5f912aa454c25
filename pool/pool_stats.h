#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace ztmpfs {

/// Figures of one size class, in the kernel's words (zsmalloc.rst). An object in two pieces counts in two classes.
struct SizeClassStats {
  uint32_t object_size;
  uint32_t pages_per_span;
  uint32_t objects_per_span;
  uint64_t objects_allocated;  ///< slots in all spans of the class
  uint64_t objects_used;
  uint64_t pages_used;
  uint64_t pages_freeable;  ///< floor((allocated - used) / objects_per_span) * pages_per_span
};

/// What Pool::compact() did.
struct CompactResult {
  uint64_t pages_freed = 0;  ///< given back to the OS
  Bytes bytes_moved = 0;
  bool stuck = false;  ///< more could be freed, but it was pinned, or another thread is compacting it
};

struct PoolStats {
  uint64_t objects_used;
  Bytes payload;             ///< sum of the sizes asked for
  Bytes span_bytes;          ///< resident memory of spans in use
  Bytes free_span_bytes;     ///< resident memory of the stock of free spans
  Bytes handle_bytes;        ///< resident memory of the handle table
  Bytes freeable;            ///< what compaction could free, from counters alone
  uint64_t pages_compacted;  ///< freed by compaction since attach()
  Bytes resident() const { return span_bytes + free_span_bytes; }
};

}  // namespace ztmpfs
