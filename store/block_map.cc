#include "store/block_map.h"

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
