#include "store/block_map.h"

#include <algorithm>

#include "base/check.h"

namespace ztmpfs {

uint32_t BlockMap::find(uint64_t index) const {
  if (index == 0) return first_;
  if (rest_ == nullptr) return 0;
  const auto leaf = rest_->find(index / kLeafBlocks);
  return leaf == rest_->end() ? 0 : leaf->second.slots[index % kLeafBlocks];
}

void BlockMap::insert(uint64_t index, uint32_t slot) {
  ZTMPFS_CHECK(slot != 0 && find(index) == 0, "a block got a second slot");
  if (index == 0) {
    first_ = slot;
    return;
  }
  if (rest_ == nullptr) rest_ = std::make_unique<Leaves>();
  Leaf& leaf = (*rest_)[index / kLeafBlocks];
  leaf.slots[index % kLeafBlocks] = slot;
  ++leaf.used;
}

void BlockMap::erase(uint64_t index) {
  if (index == 0) {
    first_ = 0;
    return;
  }
  ZTMPFS_CHECK(rest_ != nullptr && find(index) != 0, "a block lost a slot it does not have");
  const auto leaf = rest_->find(index / kLeafBlocks);
  leaf->second.slots[index % kLeafBlocks] = 0;
  if (--leaf->second.used == 0) rest_->erase(leaf);
  if (rest_->empty()) rest_.reset();
}

std::pair<uint64_t, uint32_t> BlockMap::next(uint64_t from) const {
  if (from == 0 && first_ != 0) return {0, first_};
  if (rest_ == nullptr) return {0, 0};
  for (auto leaf = rest_->lower_bound(from / kLeafBlocks); leaf != rest_->end(); ++leaf) {
    const uint64_t leaf_from = leaf->first * kLeafBlocks;
    for (uint64_t i = from > leaf_from ? from - leaf_from : 0; i < kLeafBlocks; ++i)
      if (leaf->second.slots[i] != 0) return {leaf_from + i, leaf->second.slots[i]};
  }
  return {0, 0};
}

std::pair<uint64_t, uint32_t> BlockMap::previous(uint64_t index) const {
  if (rest_ != nullptr && index > 1) {
    for (auto leaf = rest_->upper_bound((index - 1) / kLeafBlocks); leaf != rest_->begin();) {
      --leaf;
      const uint64_t leaf_from = leaf->first * kLeafBlocks;
      for (uint64_t i = std::min(index - leaf_from, kLeafBlocks); i-- > 0;)
        if (leaf->second.slots[i] != 0) return {leaf_from + i, leaf->second.slots[i]};
    }
  }
  return {0, index == 0 ? 0 : first_};
}

std::pair<uint64_t, uint32_t> BlockMap::last(uint64_t from) const {
  if (rest_ != nullptr) {
    const auto& [leaf_index, leaf] = *rest_->rbegin();
    for (uint64_t i = kLeafBlocks; i-- > 0;) {
      const uint64_t index = leaf_index * kLeafBlocks + i;
      if (index < from) return {0, 0};
      if (leaf.slots[i] != 0) return {index, leaf.slots[i]};
    }
  }
  return {0, from == 0 ? first_ : 0};
}

}  // namespace ztmpfs
