#include "ctl/sample_plan.h"

#include <algorithm>
#include <bit>

namespace ztmpfs {

namespace {

constexpr uint32_t kPage = uint32_t(kPageSize);
constexpr uint32_t kChunkPages = Chunk::kLength / kPage;
static_assert(kChunkPages == 32, "one bit per page of a chunk");

// Bits [begin, end), at most 32.
uint32_t page_bits(uint32_t begin, uint32_t end) { return uint32_t(((uint64_t(1) << (end - begin)) - 1) << begin); }

// The chunks of one file that have data, in order.
class ChunkCursor {
 public:
  ChunkCursor(const FoundFile& file, uint32_t number) : file_(file), number_(number) {}

  bool next(Chunk& chunk) {
    if (file_.data.empty()) return next_dense(chunk);
    while (range_ < file_.data.size() && file_.data[range_].end <= offset_) ++range_;
    if (range_ == file_.data.size()) return false;
    offset_ = std::max(offset_, file_.data[range_].begin / Chunk::kLength * Chunk::kLength);
    if (offset_ >= file_.size) return false;
    chunk = {.file = number_, .length = length(), .offset = offset_, .data_pages = 0};
    const uint64_t end = offset_ + chunk.length;
    for (size_t i = range_; i < file_.data.size() && file_.data[i].begin < end; ++i)
      chunk.data_pages |= pages_of(file_.data[i], end);
    offset_ = end;
    return chunk.data_pages != 0 || next(chunk);
  }

 private:
  uint32_t length() const { return uint32_t(std::min<uint64_t>(file_.size - offset_, Chunk::kLength)); }

  bool next_dense(Chunk& chunk) {
    if (offset_ >= file_.size) return false;
    chunk = {.file = number_, .length = length(), .offset = offset_, .data_pages = UINT32_MAX};
    offset_ += chunk.length;
    return true;
  }

  uint32_t pages_of(const ByteRange& range, uint64_t end) const {
    const uint64_t begin = std::max(range.begin, offset_);
    const uint64_t behind = std::min(range.end, end);
    if (begin >= behind) return 0;
    return page_bits(uint32_t((begin - offset_) / kPage), uint32_t((behind - offset_ + kPage - 1) / kPage));
  }

  const FoundFile& file_;
  const uint32_t number_;
  uint64_t offset_ = 0;
  size_t range_ = 0;
};

template <class Visitor>
void for_each_chunk(const TreeContents& tree, Visitor&& visit) {
  Chunk chunk{};
  for (uint32_t number = 0; number < tree.files.size(); ++number)
    for (ChunkCursor cursor(tree.files[number], number); cursor.next(chunk);) visit(chunk);
}

void count_blocks(SamplePlan& plan, const Chunk& chunk) {
  for (size_t i = 0; i < kBlockSizes.size(); ++i)
    for (uint32_t at = 0; at < chunk.length; at += kBlockSizes[i])
      plan.blocks[i] += chunk.is_hole(at, std::min(kBlockSizes[i], chunk.length - at)) ? 0 : 1;
}

}  // namespace

Bytes Chunk::data_bytes() const {
  const uint32_t pages = (length + kPage - 1) / kPage;
  const uint32_t bits = data_pages & page_bits(0, pages);
  const uint32_t behind_the_end = (bits >> (pages - 1) & 1) != 0 ? pages * kPage - length : 0;
  return Bytes(std::popcount(bits)) * kPage - behind_the_end;
}

size_t Chunk::stratum() const { return size_t(std::bit_width(std::max<Bytes>(data_bytes(), 1))) - 1; }

bool Chunk::is_hole(uint32_t begin, uint32_t count) const {
  return (data_pages & page_bits(begin / kPage, (begin + count + kPage - 1) / kPage)) == 0;
}

SamplePlan plan_sample(const TreeContents& tree, Bytes budget) {
  SamplePlan plan;
  for_each_chunk(tree, [&](const Chunk& chunk) {
    plan.strata[chunk.stratum()].total += chunk.data_bytes();
    count_blocks(plan, chunk);
  });
  plan.is_sample = tree.data_total > budget;
  const double share = plan.is_sample ? double(budget) / double(tree.data_total) : 1;
  // Every 1/share-th chunk of each stratum; the first one of it in any case.
  std::array<double, Chunk::kStrata> due;
  due.fill(1);
  for_each_chunk(tree, [&](const Chunk& chunk) {
    const size_t stratum = chunk.stratum();
    const bool is_chosen = due[stratum] >= 1;
    due[stratum] += share - (is_chosen ? 1 : 0);
    if (!is_chosen && plan.is_sample) return;
    plan.strata[stratum].chosen += chunk.data_bytes();
    plan.chosen_total += chunk.data_bytes();
    plan.chunks.push_back(chunk);
  });
  return plan;
}

}  // namespace ztmpfs
