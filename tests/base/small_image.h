#pragma once

#include "base/image.h"

namespace ztmpfs {

/// An image whose tables hold 4 MiB each.
inline ImageGeometry small_geometry() {
  return {.capacity = 4 * kMiB, .block_size = 32 * kKiB, .request_slots = 2, .request_buffer_size = 4 * kPageSize};
}

inline ImageFiles small_image() { return ImageFiles::create(small_geometry()); }

}  // namespace ztmpfs
