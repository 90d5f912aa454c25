#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "pool/size_class.h"

namespace ztmpfs {

/// Finds the lowest chunk of the arena with a run of some length, from the longest run of each chunk.
/// Derived state; its owner locks it.
class RunIndex {
 public:
  static constexpr uint32_t kNoChunk = ~0U;

  /// Notes a chunk's longest run; lengths above kRunPagesMax count as that.
  void set(uint32_t chunk, uint32_t longest);
  /// The lowest chunk that has a run of `length` (1 to kRunPagesMax); kNoChunk if there is none.
  uint32_t find(uint32_t length);
  /// The highest chunk that has a run of any length; kNoChunk if there is none.
  uint32_t find_last();
  uint32_t longest(uint32_t chunk) const { return longest_[chunk]; }

 private:
  std::vector<uint8_t> longest_;                     // by chunk
  std::array<uint32_t, kRunPagesMax + 1> lowest_{};  // by length: no chunk below it has such a run
  uint32_t end_ = 0;                                 // no chunk at or above it has any run
};

}  // namespace ztmpfs
