#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "ctl/tree_walk.h"

namespace ztmpfs {

/// The sizes of blocks that are compared, ascending; each divides the last one.
inline constexpr std::array<uint32_t, 5> kBlockSizes{4096, 16384, 32768, 65536, 131072};

/// A piece of a file as long as the largest block, or the file's tail.
struct Chunk {
  static constexpr uint32_t kLength = kBlockSizes.back();
  static constexpr size_t kStrata = 18;

  uint32_t file;  ///< number in TreeContents::files
  uint32_t length;
  uint64_t offset;
  uint32_t data_pages;  ///< bit n: page n of it has data; the others are holes

  Bytes data_bytes() const;
  /// Chunks of about the same number of bytes are alike: a sample takes its share of each kind.
  size_t stratum() const;
  /// Whether all of [begin, begin + length) is a hole; in units of pages.
  bool is_hole(uint32_t begin, uint32_t length) const;
};

/// What to read of a tree, and how much that stands for.
struct SamplePlan {
  /// Of the chunks of one stratum.
  struct Stratum {
    Bytes total = 0;
    Bytes chosen = 0;
    double factor() const { return chosen == 0 ? 0 : double(total) / double(chosen); }
  };

  std::vector<Chunk> chunks;  ///< to be read, in the order of the files
  std::array<Stratum, Chunk::kStrata> strata{};
  Bytes chosen_total = 0;                             ///< bytes to be read, holes left out
  std::array<uint64_t, kBlockSizes.size()> blocks{};  ///< of the whole tree, without holes, by size of block
  bool is_sample = false;
};

/// Everything if the contents are not more than `budget`, else about so much, spread evenly. The same for the same
/// tree.
SamplePlan plan_sample(const TreeContents& tree, Bytes budget);

}  // namespace ztmpfs
