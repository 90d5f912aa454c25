#pragma once

#include <memory>

#include "base/clock.h"
#include "fs/volume.h"

namespace ztmpfs {

/// A clock that stands still until it is told to go on.
class FakeClock final : public Clock {
 public:
  timespec realtime() const override {
    return {time_t(1'700'000'000 + milliseconds_ / 1000), long(milliseconds_ % 1000) * 1'000'000};
  }
  std::chrono::milliseconds monotonic() const override { return std::chrono::milliseconds(milliseconds_.load()); }
  void advance(std::chrono::milliseconds time) { milliseconds_ += time.count(); }

 private:
  std::atomic<int64_t> milliseconds_ = 1;
};

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
