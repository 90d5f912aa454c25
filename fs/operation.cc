#include "fs/operation.h"

#include <algorithm>
#include <cstring>

#include "fs/inode.h"

namespace ztmpfs {

namespace {

InodeRecord& record_at(const Region& inodes, uint64_t index) {
  return reinterpret_cast<InodeRecord*>(inodes.base())[index];
}

}  // namespace

void Operation::commit_with_parities(Transaction& transaction) {
  const NewInodes made = set_parities_of_new(transaction.stores());
  transaction.commit(
      [&] { set_parities(transaction.stores(), inodes_, meta_base_, std::span(made.indices).first(made.count)); });
}

void Operation::set_parities(std::span<const IntentRecord::Store> stores, const Region& inodes, std::byte* meta_base,
                             std::span<const uint64_t> but) {
  const auto begin = uint64_t(inodes.base() - meta_base);
  uint64_t done = UINT64_MAX;  // stores to one inode stand together, mostly; to do it twice does no harm
  for (const IntentRecord::Store& store : stores) {
    const uint64_t offset = store.offset() - begin;  // of a store elsewhere: beyond the region
    const uint64_t index = offset / sizeof(InodeRecord);
    if (offset >= inodes.length() || index == done) continue;
    done = index;
    if (std::ranges::find(but, index) != but.end()) continue;
    InodeRecord& inode = record_at(inodes, index);
    durable_store(inode.parity, inode.expected_parity());
  }
}

// Before the commit: it is the store of their state that publishes them, and from then on their own lock covers them,
// which who makes them does not hold. Nobody reads a free record.
Operation::NewInodes Operation::set_parities_of_new(std::span<const IntentRecord::Store> stores) const {
  NewInodes made{.indices = {}, .count = 0};
  const auto begin = uint64_t(inodes_.base() - meta_base_);
  for (const IntentRecord::Store& publication : stores) {
    const uint64_t offset = publication.offset() - begin;
    if (offset >= inodes_.length() || offset % sizeof(InodeRecord) != offsetof(InodeRecord, state)) continue;
    const uint64_t index = offset / sizeof(InodeRecord);
    InodeRecord& inode = record_at(inodes_, index);
    if (inode.state != InodeRecord::kFree) continue;
    InodeRecord future;
    std::memcpy(&future, &inode, sizeof(future));
    for (const IntentRecord::Store& store : stores)
      if (const uint64_t field = store.offset() - begin - offset; field < sizeof(future))
        std::memcpy(reinterpret_cast<std::byte*>(&future) + field, &store.value, store.width());
    durable_store(inode.parity, future.expected_parity());
    ZTMPFS_CHECK(made.count < made.indices.size(), "a transaction makes too many inodes");
    made.indices[made.count++] = index;
  }
  return made;
}

}  // namespace ztmpfs
