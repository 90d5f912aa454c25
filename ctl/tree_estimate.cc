#include "ctl/tree_estimate.h"

#include <sched.h>

#include <algorithm>
#include <cmath>

#include "base/image.h"

namespace ztmpfs {

namespace {

constexpr size_t kDefaultBlockSize = 2;  // number of 32 KiB in kBlockSizes
static_assert(kBlockSizes[kDefaultBlockSize] == 32 * kKiB);

// Measured on mounts that had settled, see docs/decisions.md, "What a tree would take": the server's heap per
// directory, per directory entry and per block, that of its threads once they have compressed something, and what the
// two processes have from the beginning.
constexpr double kIndexPerDirectory = 300;
constexpr double kIndexPerName = 48;
constexpr double kIndexPerFile = 40;
constexpr double kIndexPerBlock = 6;
constexpr Bytes kThreads = 900 * kKiB;
constexpr Bytes kProcesses = 1300 * kKiB;

// StoredTally of the whole tree; no whole numbers any more.
struct StoredEstimate {
  double run_pages = 0;
  std::array<double, StoredTally::kSlotClassesMax> slots{};

  void add(const StoredTally& tally, double factor) {
    run_pages += double(tally.run_pages) * factor;
    for (size_t i = 0; i < slots.size(); ++i) slots[i] += tally.slots[i] * factor;
  }

  Bytes memory() const {
    double pages = run_pages;
    for (uint32_t i = 0; i < slot_class_count(); ++i) {
      const SizeClass& one = size_classes()[i];
      if (slots[i] > 0) pages += std::ceil(slots[i] / one.objects_per_span) * one.pages_per_span;
    }
    return Bytes(pages) * kPageSize;
  }
};

// Targets are too short to compress well: as they are.
StoredTally symlink_targets(const TreeContents& tree) {
  StoredTally tally;
  for (uint32_t length = 1; length < tree.symlink_lengths.size(); ++length)
    if (tree.symlink_lengths[length] != 0) tally.add(length, tree.symlink_lengths[length]);
  return tally;
}

// Equal to one before it.
uint64_t count_duplicates(std::vector<uint64_t> hashes) {
  std::ranges::sort(hashes);
  return hashes.size() - size_t(std::ranges::unique(hashes).begin() - hashes.begin());
}

TreeEstimate::OfBlockSize estimate_size(size_t number, const SamplePlan& plan, const SurveyResult& survey,
                                        std::span<const NamedCodec> codecs) {
  TreeEstimate::OfBlockSize size{.block_size = kBlockSizes[number], .blocks = plan.blocks[number], .codecs = {}};
  std::vector<StoredEstimate> stored(codecs.size());
  std::vector<uint64_t> hashes;
  double bytes = 0;
  double same_filled = 0;
  for (size_t i = 0; i < Chunk::kStrata; ++i) {
    const BlockTally& tally = survey.strata[i].sizes[number];
    const double factor = plan.strata[i].factor();
    bytes += double(tally.bytes) * factor;
    same_filled += double(tally.same_filled) * factor;
    for (size_t codec = 0; codec < codecs.size(); ++codec) stored[codec].add(tally.codecs[codec], factor);
    hashes.insert(hashes.end(), tally.hashes.begin(), tally.hashes.end());
  }
  size.contents = Bytes(bytes);
  size.same_filled = uint64_t(std::llround(same_filled));
  size.compared = hashes.size();
  size.duplicates = count_duplicates(std::move(hashes));
  for (size_t codec = 0; codec < codecs.size(); ++codec)
    size.codecs.push_back({codecs[codec].name, stored[codec].memory()});
  return size;
}

Bytes table(double records, Bytes record_size) {
  const Bytes per_page = kPageSize / record_size;
  return Bytes(std::ceil(records / double(per_page))) * kPageSize;
}

Bytes request_buffers() {
  constexpr int kReadersMax = 4;
  cpu_set_t set;
  const int cpus = ::sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  return Bytes(std::clamp(cpus, 1, kReadersMax)) * ImageGeometry{}.request_buffer_size;
}

}  // namespace

TreeEstimate estimate_tree(const TreeContents& tree, const SamplePlan& plan, const SurveyResult& survey,
                           std::span<const NamedCodec> codecs) {
  TreeEstimate estimate;
  for (size_t i = 0; i < kBlockSizes.size(); ++i) estimate.sizes[i] = estimate_size(i, plan, survey, codecs);
  StoredEstimate stored;
  stored.add(symlink_targets(tree), 1);
  for (size_t i = 0; i < Chunk::kStrata; ++i) stored.add(survey.strata[i].by_default, plan.strata[i].factor());
  estimate.contents = stored.memory();

  const TreeEstimate::OfBlockSize& size = estimate.sizes[kDefaultBlockSize];
  const auto inodes = double(tree.files_found + tree.directories_found + tree.symlinks_found + tree.others_found);
  const auto blocks = double(size.blocks + tree.symlinks_found);
  estimate.tables = table(inodes, RecordSizes::kInode) + table(double(tree.short_names), RecordSizes::kShortName) +
                    table(double(tree.long_names), RecordSizes::kLongName) + table(blocks, RecordSizes::kBlockSlot) +
                    table(blocks - double(size.same_filled), RecordSizes::kHandle);
  estimate.indexes = Bytes(kIndexPerDirectory * double(tree.directories_found) +
                           kIndexPerName * double(tree.short_names + tree.long_names) +
                           kIndexPerFile * double(tree.files.size() + tree.symlinks_found) + kIndexPerBlock * blocks);
  estimate.fixed = request_buffers() + kProcesses + kThreads;
  return estimate;
}

}  // namespace ztmpfs
