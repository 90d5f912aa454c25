#include "fs/operation.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "fs/inode.h"

namespace ztmpfs {

// The inodes that the transaction changes get the parity that they have with its stores.
void Operation::set_parities(Transaction& transaction) const {
  const size_t count = transaction.stores().size();
  const uint64_t begin = uint64_t(inodes_.base() - meta_base_);
  const auto inode_of = [&](const IntentRecord::Store& store) {
    const uint64_t offset = store.offset - begin;  // of a store elsewhere: beyond the region
    const bool counts = offset < inodes_.length() && offset % sizeof(InodeRecord) != offsetof(InodeRecord, lookups);
    return counts ? begin + offset / sizeof(InodeRecord) * sizeof(InodeRecord) : 0;
  };
  for (size_t i = 0; i < count; ++i) {
    const uint64_t inode = inode_of(transaction.stores()[i]);
    bool is_known = inode == 0;
    for (size_t j = 0; j < i && !is_known; ++j) is_known = inode_of(transaction.stores()[j]) == inode;
    if (is_known) continue;
    auto& record = *reinterpret_cast<InodeRecord*>(meta_base_ + inode);
    InodeRecord changed = record;
    for (const auto& store : transaction.stores().subspan(i, count - i))
      if (inode_of(store) == inode)
        std::memcpy(reinterpret_cast<std::byte*>(&changed) + (store.offset - inode), &store.value, store.width);
    transaction.set(record.parity, changed.expected_parity());
  }
}

}  // namespace ztmpfs
