#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "compress/codec.h"
#include "ctl/sample_plan.h"
#include "pool/size_class.h"

namespace ztmpfs {

/// What sealed objects take in a pool, counted by the classes of the pieces they lie in.
struct StoredTally {
  static constexpr size_t kSlotClassesMax = 96;

  uint64_t payload = 0;                           ///< bytes of the objects
  uint64_t run_pages = 0;                         ///< pages that belong to one object
  std::array<uint32_t, kSlotClassesMax> slots{};  ///< slots taken, by class

  void add(uint32_t size, uint64_t count = 1);
  void add(const StoredTally& other);
};

/// Blocks of one size.
struct BlockTally {
  uint64_t blocks = 0;  ///< holes left out
  uint64_t bytes = 0;
  uint64_t same_filled = 0;
  std::vector<uint64_t> hashes;     ///< of the contents of the others
  std::vector<StoredTally> codecs;  ///< by number of the codec
};

/// Chunks of one stratum.
struct StratumTally {
  std::array<BlockTally, kBlockSizes.size()> sizes;
  StoredTally by_default;  ///< as a mount with the default settings would keep it
};

/// What was found in the chunks of a plan.
struct SurveyResult {
  std::array<StratumTally, Chunk::kStrata> strata;
  std::vector<std::string> unreadable;  ///< a sentence for each file
};

/// A codec to compare, with the name it has in the output.
struct NamedCodec {
  std::string name;
  const Codec* codec;
};

/// Reads the chunks of a plan and compresses their blocks, on all CPUs of this process.
class BlockSurvey {
 public:
  /// What is needed of the codecs: the first is the fast one, the second the thorough one of the default settings.
  static constexpr size_t kFast = 0;
  static constexpr size_t kThorough = 1;

  /// Borrows all three.
  BlockSurvey(const TreeContents& tree, const SamplePlan& plan, std::span<const NamedCodec> codecs)
      : tree_(tree), plan_(plan), codecs_(codecs) {}

  /// Adds to `bytes_done` as it goes; ends early, with what it has, when `stop` is requested.
  SurveyResult run(const std::stop_token& stop, std::atomic<Bytes>& bytes_done);

 private:
  class Worker;

  const TreeContents& tree_;
  const SamplePlan& plan_;
  const std::span<const NamedCodec> codecs_;
  std::atomic<size_t> next_chunk_{0};
};

}  // namespace ztmpfs
