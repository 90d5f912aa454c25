// What chattr(1) sets and lsattr(1) shows. Enforced where requests show what they break; the kernel checks who may set
// it.
#include <linux/fs.h>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

// Those of tmpfs (mm/shmem.c, SHMEM_FL_USER_MODIFIABLE).
constexpr struct {
  uint32_t fs_flag;
  InodeRecord::Flags flag;
} kFlags[] = {
    {FS_IMMUTABLE_FL, InodeRecord::kImmutable},
    {FS_APPEND_FL, InodeRecord::kAppendOnly},
    {FS_NODUMP_FL, InodeRecord::kNoDump},
    {FS_NOATIME_FL, InodeRecord::kNoAtime},
};

}  // namespace

Result<uint32_t> FileSystem::inode_flags(uint64_t ino) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  uint32_t flags = 0;
  for (const auto& each : kFlags)
    if ((inode->flags & each.flag) != 0) flags |= each.fs_flag;
  return flags;
}

Result<void> FileSystem::set_inode_flags(Operation& op, uint64_t ino, uint32_t flags) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  uint32_t kept = inode->flags;
  for (const auto& each : kFlags) {
    kept = (flags & each.fs_flag) != 0 ? kept | each.flag : kept & ~uint32_t(each.flag);
    flags &= ~each.fs_flag;
  }
  if (flags != 0) return fail(std::errc::operation_not_supported);
  Transaction transaction = op.begin();
  transaction.set(inode->flags, kept);
  set_ctime(transaction, *inode, now());
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
  return {};
}

// fs/namei.c, may_create and may_delete, as far as flags go.
Result<void> FileSystem::may_add_name(const InodeRecord& directory) {
  return directory.is_immutable() ? fail(std::errc::operation_not_permitted) : Result<void>();
}

Result<void> FileSystem::may_remove_name(const InodeRecord& directory, const InodeRecord& victim) {
  const bool is_forbidden = directory.is_protected() || victim.is_protected();
  return is_forbidden ? fail(std::errc::operation_not_permitted) : Result<void>();
}

bool FileSystem::may_write_at(const InodeRecord& inode, uint64_t offset) {
  return !inode.is_immutable() && (!inode.is_append_only() || offset >= inode.size);
}

// fs/attr.c, may_setattr; and what open(2) and ftruncate(2) check.
Result<void> FileSystem::may_set_attributes(const InodeRecord& inode, const SetAttr& change) {
  if (!inode.is_protected()) return {};
  constexpr uint32_t kTouch = SetAttr::kAtimeNow | SetAttr::kMtimeNow;
  constexpr uint32_t kOthers = SetAttr::kMode | SetAttr::kUid | SetAttr::kGid | SetAttr::kSize;
  constexpr uint32_t kTimes = SetAttr::kAtime | SetAttr::kMtime | kTouch;
  const bool is_touch = (change.fields & kTouch) == kTouch;
  const bool sets_times = (change.fields & kTimes) != 0 && !is_touch;
  if ((change.fields & kOthers) != 0 || sets_times || (is_touch && inode.is_immutable()))
    return fail(std::errc::operation_not_permitted);
  return {};
}

}  // namespace ztmpfs
