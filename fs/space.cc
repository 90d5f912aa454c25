// Ranges of files: fallocate, lseek for contents and holes, copy_file_range.
#include <algorithm>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

// So much is copied under one hold of the locks.
constexpr Bytes kCopyStep = kMiB;

bool overlap(const FileSystem::CopyRange& range) {
  if (range.from_ino != range.to_ino) return false;
  const auto [low, high] = std::minmax(range.from_offset, range.to_offset);
  return high - low < range.length;
}

}  // namespace

Result<void> FileSystem::fallocate(Operation& op, uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length) {
  const uint32_t kind = flags & ~kKeepSize;
  if (kind != 0 && kind != kZeroRange && flags != (kPunchHole | kKeepSize))
    return fail(std::errc::operation_not_supported);
  if (length == 0) return fail(std::errc::invalid_argument);
  if (offset > kFileSizeMax || length > kFileSizeMax - offset) return fail(std::errc::file_too_large);
  if (kind == kPunchHole) return try_fallocate(op, ino, flags, offset, length);
  // No reclaim for what can never be.
  if (length > budget_.limit()) return fail(std::errc::no_space_on_device);
  return with_room(length, [&] { return try_fallocate(op, ino, flags, offset, length); });
}

// The kernel keeps other writers of the file away, so the steps may let go of the lock between them. Executed again
// after a crash: each of them comes to the same then.
Result<void> FileSystem::try_fallocate(Operation& op, uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length) {
  const ReaderLock frozen(freeze_);
  const uint64_t end = offset + length;
  const bool punches = (flags & kPunchHole) != 0;
  if (auto allowed = may_fallocate(ino, flags); !allowed) return allowed;
  for (bool is_reserved = punches; !is_reserved;) {
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
    const auto inode = find_regular(ino);
    if (!inode) return fail(inode.error());
    // What an earlier cut left must not come to light again.
    if (!truncate_step(ino, **inode)) continue;
    if (auto done = store_.reserve(ino_index(ino), offset, length); !done) return done;
    is_reserved = true;
  }
  if (punches || (flags & kZeroRange) != 0) {
    const auto reservation = punches ? BlockStore::Reservation::kEnds : BlockStore::Reservation::kStays;
    if (auto done = clear_range(ino, offset, end, reservation); !done) return done;
  }
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  const auto inode = find_regular(ino);
  if (!inode) return fail(inode.error());
  const Time time = now();
  Transaction transaction = op.begin();
  if ((flags & kKeepSize) == 0 && end > (*inode)->size) transaction.set((*inode)->size, end);
  set_times(transaction, **inode, time);
  drop_privileges(transaction, **inode, op.caller());
  drop_capability(transaction, **inode);
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
  return {};
}

// fs/open.c, vfs_fallocate.
Result<void> FileSystem::may_fallocate(uint64_t ino, uint32_t flags) {
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const auto inode = find_regular(ino);
  if (!inode) return fail(inode.error());
  const bool is_forbidden = (*inode)->is_immutable() || ((*inode)->is_append_only() && (flags & ~kKeepSize) != 0);
  return is_forbidden ? fail(std::errc::operation_not_permitted) : Result<void>();
}

Result<void> FileSystem::clear_range(uint64_t ino, uint64_t offset, uint64_t end, BlockStore::Reservation reservation) {
  while (offset < end) {
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
    if (const auto inode = find_regular(ino); !inode) return fail(inode.error());
    const auto next = store_.punch(ino_index(ino), offset, end, reservation);
    if (!next) return fail(next.error());
    offset = *next;
  }
  return {};
}

Result<uint64_t> FileSystem::seek_data(uint64_t ino, uint64_t offset) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const auto inode = find_regular(ino);
  if (!inode) return fail(inode.error());
  const uint64_t size = (*inode)->size;
  const auto found = offset < size ? store_.next_data(ino_index(ino), offset) : std::nullopt;
  if (!found || *found >= size) return fail(std::errc::no_such_device_or_address);
  return *found;
}

Result<uint64_t> FileSystem::seek_hole(uint64_t ino, uint64_t offset) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const auto inode = find_regular(ino);
  if (!inode) return fail(inode.error());
  const uint64_t size = (*inode)->size;
  if (offset >= size) return fail(std::errc::no_such_device_or_address);
  return std::min(store_.next_hole(ino_index(ino), offset), size);
}

Result<size_t> FileSystem::copy_file_range(Operation& op, const CopyRange& range) {
  if (range.to_offset > kFileSizeMax || range.length > kFileSizeMax - range.to_offset)
    return fail(std::errc::file_too_large);
  if (overlap(range)) return fail(std::errc::invalid_argument);
  // A former server may have begun.
  uint64_t done = op.has_outcome() ? op.outcome().value : 0;
  while (done < range.length) {
    const auto copied = with_room(kCopyStep, [&] { return copy_step(op, range, done); });
    if (!copied && done == 0) return copied;
    if (copied.value_or(0) == 0) break;
    done += *copied;
  }
  Transaction nothing = op.begin();
  op.commit(nothing, {.kind = Outcome::kCount, .unused = 0, .value = done, .attr = {}});
  return done;
}

// Recorded as far as it came: after a crash the copy goes on from there, since blocks behind may be copied already.
Result<size_t> FileSystem::copy_step(Operation& op, const CopyRange& range, uint64_t done) {
  const ReaderLock frozen(freeze_);
  while (true) {
    const InodeLockSet locks(inode_locks_,
                             {{range.from_ino, InodeLock::kShared}, {range.to_ino, InodeLock::kExclusive}});
    const auto source = find_regular(range.from_ino);
    if (!source) return fail(source.error());
    const auto target = find_regular(range.to_ino);
    if (!target) return fail(target.error());
    const uint64_t from = range.from_offset + done;
    const uint64_t to = range.to_offset + done;
    if (!may_write_at(**target, to)) return fail(std::errc::operation_not_permitted);
    if (!truncate_step(range.to_ino, **target)) continue;
    if (from >= (*source)->size) return 0;
    const uint64_t length = std::min({range.length - done, (*source)->size - from, kCopyStep});
    const auto copied = store_.copy(ino_index(range.from_ino), from, ino_index(range.to_ino), to, length);
    if (!copied) {
      drop_behind_end(ino_index(range.to_ino), (*target)->size);
      return copied;
    }
    const Time time = now();
    Transaction transaction = op.begin();
    if (to + *copied > (*target)->size) transaction.set((*target)->size, to + *copied);
    set_times(transaction, **target, time);
    drop_privileges(transaction, **target, op.caller());
    drop_capability(transaction, **target);
    op.commit_progress(transaction, Outcome::kItems, done + *copied);
    return copied;
  }
}

}  // namespace ztmpfs
