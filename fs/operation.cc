#include "fs/operation.h"

#include "fs/inode.h"

namespace ztmpfs {

void Operation::set_parities(std::span<const IntentRecord::Store> stores, const Region& inodes, std::byte* meta_base) {
  const auto begin = uint64_t(inodes.base() - meta_base);
  uint64_t done = UINT64_MAX;  // stores to one inode stand together, mostly; to do it twice does no harm
  for (const IntentRecord::Store& store : stores) {
    const uint64_t offset = store.offset() - begin;  // of a store elsewhere: beyond the region
    const uint64_t index = offset / sizeof(InodeRecord);
    if (offset >= inodes.length() || index == done) continue;
    done = index;
    InodeRecord& inode = reinterpret_cast<InodeRecord*>(inodes.base())[index];
    durable_store(inode.parity, inode.expected_parity());
  }
}

}  // namespace ztmpfs
