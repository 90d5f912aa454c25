#pragma once

#include <unistd.h>

#include "fs/volume.h"

namespace ztmpfs {

/// A small image's geometry, for tests.
inline ImageGeometry small_geometry(Bytes block_size = 32 * kKiB) {
  return {.capacity = 256 * kMiB,
          .block_size = block_size,
          .request_slots = 4,
          .request_buffer_size = 128 * kKiB + 2 * kPageSize};
}

/// Second descriptors of an image's files, for a second attachment.
inline ImageFiles duplicate(const ImageFiles& files) {
  return {UniqueFd(::dup(files.meta.get())), UniqueFd(::dup(files.data.get())), UniqueFd(::dup(files.buffers.get()))};
}

}  // namespace ztmpfs
