#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "ctl/block_survey.h"

namespace ztmpfs {

/// What a tree would take in a mount.
struct TreeEstimate {
  struct OfCodec {
    std::string name;
    Bytes stored = 0;  ///< memory of the blocks' pages in the pool
  };
  struct OfBlockSize {
    uint32_t block_size = 0;
    uint64_t blocks = 0;  ///< of the whole tree, without holes
    Bytes contents = 0;   ///< bytes in them
    uint64_t same_filled = 0;
    uint64_t compared = 0;    ///< blocks that were looked for duplicates: those that were read and are not same-filled
    uint64_t duplicates = 0;  ///< of these, the ones that are equal to another one before them
    std::vector<OfCodec> codecs;
  };
  std::array<OfBlockSize, kBlockSizes.size()> sizes;

  /// A mount with the default settings, once it has settled.
  Bytes contents = 0;  ///< pages of the pool
  Bytes tables = 0;    ///< inodes, names, slots of blocks, handles of objects
  Bytes indexes = 0;   ///< the server's memory for finding them
  Bytes fixed = 0;     ///< what a mount takes with nothing in it
  Bytes total() const { return contents + tables + indexes + fixed; }
};

/// The figures of the whole tree from those of the sample.
TreeEstimate estimate_tree(const TreeContents& tree, const SamplePlan& plan, const SurveyResult& survey,
                           std::span<const NamedCodec> codecs);

/// Bytes of the records in a mount's tables; a test compares them with the layers that own them.
struct RecordSizes {
  static constexpr Bytes kInode = 128;
  static constexpr Bytes kShortName = 64;
  static constexpr Bytes kLongName = 288;
  static constexpr Bytes kBlockSlot = 32;
  static constexpr Bytes kHandle = 24;
};

}  // namespace ztmpfs
