#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "fs/volume.h"
#include "fuse/reader.h"

namespace ztmpfs {

/// Feeds bytes to a reader as if they had been read from the kernel. Replies go to a memory file, and are counted by
/// its length.
class RequestFuzzer {
 public:
  RequestFuzzer();
  ~RequestFuzzer();

  /// The first byte says which fields of the header are put right (so that the bytes get past the first check), the
  /// rest is the request. Aborts if a request gets more than one reply, or none although it can be answered.
  void feed(std::span<const uint8_t> input);

  Volume& volume() { return *volume_; }

 private:
  SystemClock clock_;
  std::unique_ptr<Volume> volume_;
  RequestHooks hooks_;
  UniqueFd replies_;
  std::unique_ptr<Reader> reader_;
};

}  // namespace ztmpfs
