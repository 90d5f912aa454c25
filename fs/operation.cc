#include "fs/operation.h"

#include <array>
#include <cstring>

#include "fs/inode.h"

namespace ztmpfs {

namespace {

// What inodes are going to be.
struct Changed {
  uint64_t offset;  // of the record in the metadata memfd
  InodeRecord record;
};
// A rename with a whiteout that gets an ACL: two directories, three inodes, xattrs.
constexpr size_t kInodesMax = 8;

}  // namespace

// The inodes that the transaction changes get the parity that they have with its stores.
void Operation::set_parities(Transaction& transaction) const {
  std::array<Changed, kInodesMax> changed;  // not initialized: it is on the way of each change
  size_t count = 0;
  const uint64_t begin = uint64_t(inodes_.base() - meta_base_);
  for (const IntentRecord::Store& store : transaction.stores()) {
    const uint64_t offset = store.offset() - begin;  // of a store elsewhere: beyond the region
    const uint64_t field = offset % sizeof(InodeRecord);
    if (offset >= inodes_.length() || field == offsetof(InodeRecord, lookups)) continue;
    size_t i = 0;
    while (i < count && changed[i].offset != store.offset() - field) ++i;
    if (i == count) {
      ZTMPFS_CHECK(count < kInodesMax, "a transaction changes too many inodes");
      changed[count++].offset = store.offset() - field;
      std::memcpy(&changed[i].record, meta_base_ + changed[i].offset, sizeof(InodeRecord));
    }
    auto* const target = reinterpret_cast<std::byte*>(&changed[i].record) + field;
    if (store.width() == 4) {
      std::memcpy(target, &store.value, 4);
    } else {
      std::memcpy(target, &store.value, 8);
    }
  }
  for (size_t i = 0; i < count; ++i)
    transaction.set(reinterpret_cast<InodeRecord*>(meta_base_ + changed[i].offset)->parity,
                    changed[i].record.expected_parity());
}

}  // namespace ztmpfs
