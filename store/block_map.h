#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "base/bytes.h"

namespace ztmpfs {

/// Which slot holds which block of one owner. Derived from the slot table. Small for files of one block, ordered and
/// sparse for the others. Not thread-safe: the owner's stripe lock covers it.
class BlockMap {
 public:
  /// The slot of block `index`, 0 if there is none.
  uint32_t find(uint64_t index) const;
  /// The block has no slot yet.
  void insert(uint64_t index, uint32_t slot);
  /// The block has a slot.
  void erase(uint64_t index);
  /// The highest block at or behind `from`, as {index, slot}; slot 0 if there is none.
  std::pair<uint64_t, uint32_t> last(uint64_t from) const;
  /// The highest block below `index`, as {index, slot}; slot 0 if there is none.
  std::pair<uint64_t, uint32_t> previous(uint64_t index) const;
  /// The lowest block at or behind `from`, as {index, slot}; slot 0 if there is none.
  std::pair<uint64_t, uint32_t> next(uint64_t from) const;
  /// Calls visit(index, slot) for each block.
  template <class Visitor>
  void for_each(Visitor&& visit) const {
    if (first_ != 0) visit(uint64_t(0), first_);
    if (rest_ == nullptr) return;
    for (const auto& [leaf_index, leaf] : *rest_)
      for (uint64_t i = 0; i < kLeafBlocks; ++i)
        if (leaf.slots[i] != 0) visit(leaf_index * kLeafBlocks + i, leaf.slots[i]);
  }
  bool empty() const { return first_ == 0 && rest_ == nullptr; }

  /// Memory that the blocks take, with what is promised to them; kept by the store.
  Bytes stored_bytes = 0;

 private:
  static constexpr uint64_t kLeafBlocks = 32;
  struct Leaf {
    std::array<uint32_t, kLeafBlocks> slots{};
    uint32_t used = 0;
  };
  using Leaves = std::map<uint64_t, Leaf>;

  uint32_t first_ = 0;  // of block 0: most files have no other
  std::unique_ptr<Leaves> rest_;
};

/// The maps of the owners of one stripe.
using BlockMaps = boost::unordered_flat_map<uint32_t, BlockMap>;

}  // namespace ztmpfs
