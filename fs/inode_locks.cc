#include "fs/inode_locks.h"

#include <algorithm>

#include "base/check.h"

namespace ztmpfs {

InodeLockSet::InodeLockSet(InodeLockTable& table, std::initializer_list<InodeLock> inodes) NO_THREAD_SAFETY_ANALYSIS {
  ZTMPFS_CHECK(inodes.size() <= kInodesMax, "too many inodes to lock");
  for (const InodeLock& inode : inodes) {
    if (inode.ino == 0) continue;
    SharedMutex* stripe = &table.stripes_[inode.ino % InodeLockTable::kStripes];
    const auto end = held_.begin() + count_;
    const auto same = std::find_if(held_.begin(), end, [&](const Held& held) { return held.stripe == stripe; });
    if (same == end) {
      held_[count_++] = {stripe, inode.mode};
    } else {
      same->mode = std::max(same->mode, inode.mode);
    }
  }
  std::sort(held_.begin(), held_.begin() + count_, [](const Held& a, const Held& b) { return a.stripe < b.stripe; });
  for (size_t i = 0; i < count_; ++i) {
    if (held_[i].mode == InodeLock::kExclusive) {
      held_[i].stripe->lock();
    } else {
      held_[i].stripe->lock_shared();
    }
  }
}

InodeLockSet::~InodeLockSet() NO_THREAD_SAFETY_ANALYSIS {
  for (size_t i = count_; i-- > 0;) {
    if (held_[i].mode == InodeLock::kExclusive) {
      held_[i].stripe->unlock();
    } else {
      held_[i].stripe->unlock_shared();
    }
  }
}

}  // namespace ztmpfs
