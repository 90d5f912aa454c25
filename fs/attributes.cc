// Attributes: getattr and setattr, truncation among it.
#include <unistd.h>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

// The attributes as they will be once `change` has happened at `time`.
Attr changed(Attr attr, const SetAttr& change, const Time& time) {
  const auto has = [&](SetAttr::Field field) { return (change.fields & field) != 0; };
  if (has(SetAttr::kMode)) attr.mode = (attr.mode & S_IFMT) | (change.mode & 07777);
  if (has(SetAttr::kUid)) attr.uid = change.uid;
  if (has(SetAttr::kGid)) attr.gid = change.gid;
  if (has(SetAttr::kSize)) attr.size = change.size;
  if (has(SetAttr::kSize)) attr.mtime = time;
  if (has(SetAttr::kAtime)) attr.atime = change.atime;
  if (has(SetAttr::kAtimeNow)) attr.atime = time;
  if (has(SetAttr::kMtime)) attr.mtime = change.mtime;
  if (has(SetAttr::kMtimeNow)) attr.mtime = time;
  attr.ctime = has(SetAttr::kCtime) ? change.ctime : time;
  return attr;
}

// As tmpfs: truncate(2) to the size that a file has already is nothing, unless it has contents (mm/shmem.c,
// shmem_setattr). But an empty one may be opened with O_TRUNC, which is a change and looks the same here.
bool may_keep_times(const SetAttr& change, const InodeRecord& inode) {
  return (change.fields & ~SetAttr::kDropPrivileges) == SetAttr::kSize && change.size == inode.size && inode.size != 0;
}

void set_attributes(Transaction& transaction, InodeRecord& inode, const Attr& attr) {
  transaction.set(inode.mode, attr.mode);
  transaction.set(inode.uid, attr.uid);
  transaction.set(inode.gid, attr.gid);
  transaction.set(inode.size, attr.size);
  transaction.set(inode.atime_seconds, attr.atime.seconds);
  transaction.set(inode.atime_nanoseconds, attr.atime.nanoseconds);
  transaction.set(inode.mtime_seconds, attr.mtime.seconds);
  transaction.set(inode.mtime_nanoseconds, attr.mtime.nanoseconds);
  transaction.set(inode.ctime_seconds, attr.ctime.seconds);
  transaction.set(inode.ctime_nanoseconds, attr.ctime.nanoseconds);
}

}  // namespace

Result<Attr> FileSystem::getattr(uint64_t ino) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  return attr_of(ino, *inode);
}

uint32_t FileSystem::unprivileged_mode(const InodeRecord& inode, const Caller& caller) {
  uint32_t mode = inode.mode & ~uint32_t(S_ISUID);
  if ((mode & S_ISGID) == 0) return mode;
  const bool lends_group = (mode & S_IXGRP) != 0;
  if (lends_group || (caller.uid != 0 && !caller.is_in_group(inode.gid))) mode &= ~uint32_t(S_ISGID);
  return mode;
}

void FileSystem::drop_privileges(Transaction& transaction, InodeRecord& inode, const Caller& caller) const {
  const bool has_any = inode.is_regular() && (inode.mode & (S_ISUID | S_ISGID)) != 0;
  if (has_any && caller.uid != 0) transaction.set(inode.mode, unprivileged_mode(inode, caller));
}

uint32_t FileSystem::permitted(const InodeRecord& inode, const Caller& caller) {
  if (caller.uid == 0) {
    const bool may_execute = inode.is_directory() || (inode.mode & 0111) != 0;
    return R_OK | W_OK | (may_execute ? X_OK : 0);
  }
  if (caller.uid == inode.uid) return inode.mode >> 6 & 7;
  return inode.mode >> (caller.is_in_group(inode.gid) ? 3 : 0) & 7;
}

Result<void> FileSystem::access(uint64_t ino, const Caller& caller, uint32_t mask) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  mask &= R_OK | W_OK | X_OK;
  return (mask & ~permitted(*inode, caller)) == 0 ? Result<void>() : fail(std::errc::permission_denied);
}

Result<Attr> FileSystem::setattr(Operation& op, uint64_t ino, const SetAttr& change) {
  const ReaderLock frozen(freeze_);
  const bool resizes = (change.fields & SetAttr::kSize) != 0;
  if (resizes && change.size > kFileSizeMax) return fail(std::errc::file_too_large);
  while (true) {
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
    InodeRecord* inode = find_inode(ino);
    if (inode == nullptr) return fail(std::errc(ESTALE));
    if (auto allowed = may_set_attributes(*inode, change); !allowed) return fail(allowed.error());
    if (resizes && inode->is_directory()) return fail(std::errc::is_a_directory);
    if (resizes && !inode->is_regular()) return fail(std::errc::invalid_argument);
    // What an earlier cut left must not come to light again.
    if (resizes && change.size > inode->size && !truncate_step(ino, *inode)) continue;
    // What was allocated behind the end goes too, even if the end stays where it is.
    const bool cuts = resizes && (change.size < inode->size || (change.size == inode->size &&
                                                                store_.has_blocks_behind(ino_index(ino), change.size)));
    Attr before = attr_of(ino, *inode);
    const bool may_write = op.caller().uid == inode->uid || (permitted(*inode, op.caller()) & W_OK) != 0;
    const bool drops = (change.fields & SetAttr::kDropPrivileges) != 0 ||
                       ((change.fields & SetAttr::kDropPrivilegesAsWriter) != 0 && may_write);
    if (drops && !inode->is_directory()) before.mode = unprivileged_mode(*inode, op.caller());
    Outcome outcome{.kind = Outcome::kAttr, .unused = 0, .value = 0, .attr = changed(before, change, now())};
    // Somebody whom the bits are not to be dropped for.
    const bool is_void = change.fields == SetAttr::kDropPrivilegesAsWriter && !may_write && !inode->is_directory() &&
                         (inode->mode & (S_ISUID | S_ISGID)) != 0;
    if (is_void || (may_keep_times(change, *inode) && store_.end(ino_index(ino)) == 0)) {
      outcome.attr.mtime = before.mtime;
      outcome.attr.ctime = before.ctime;
    }
    Transaction transaction = op.begin();
    set_attributes(transaction, *inode, outcome.attr);
    if ((change.fields & (SetAttr::kSize | SetAttr::kUid | SetAttr::kGid)) != 0) drop_capability(transaction, *inode);
    if (cuts) transaction.set(inode->flags, inode->flags | InodeRecord::kTruncating);
    op.commit(transaction, outcome);
    if (cuts && !truncate_step(ino, *inode)) queue_purge(ino);
    outcome.attr.blocks = attr_of(ino, *inode).blocks;
    return outcome.attr;
  }
}

}  // namespace ztmpfs
