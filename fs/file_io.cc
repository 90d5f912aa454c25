// Contents: read, write, readlink.
#include <algorithm>
#include <string>

#include "base/log.h"
#include "fs/filesystem.h"

namespace ztmpfs {

Result<size_t> FileSystem::read(uint64_t ino, uint64_t offset, std::span<std::byte> target) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const auto found = find_regular(ino);
  if (!found) return fail(found.error());
  const InodeRecord* inode = *found;
  if (offset >= inode->size) return 0;
  target = target.first(std::min<uint64_t>(target.size(), inode->size - offset));
  if (auto done = store_.read(ino_index(ino), offset, target); !done) return fail(done.error());
  return target.size();
}

// When the room runs out midway, the rest is tried once more: to write the whole again may fail at its beginning, and
// to answer with an error then would deny what has replaced the old contents. Nothing is committed in between, so after
// a crash the whole request is executed again.
Result<size_t> FileSystem::write(Operation& op, uint64_t ino, uint64_t offset, std::span<const std::byte> data,
                                 WriteKind kind) {
  if (offset > kFileSizeMax - data.size()) return fail(std::errc::file_too_large);
  size_t done = 0;
  const WriteArguments arguments{ino, offset, kind};
  const auto written = write_rest(op, arguments, data, done, Full::kIsAnError);
  if (written || written.error() != std::errc::no_space_on_device) return written;
  const bool has_room = on_full_ && on_full_(data.size() - done);
  auto result = written;
  if (has_room || done > 0)
    result = write_rest(op, arguments, has_room ? data : data.first(done), done, Full::kCutsTheWrite);
  if (kind.is_write_back && result.value_or(0) < data.size()) note_write_back_failure(ino);
  return result;
}

// Contents that no size covers; what is promised there stays.
void FileSystem::drop_behind_end(uint32_t index, uint64_t size) {
  while (store_.end(index) > size)
    if (!store_.punch(index, size, kFileSizeMax, BlockStore::Reservation::kStays)) return;
}

// Whoever wrote it has gone on: only msync(2) and fsync(2) can tell.
void FileSystem::note_write_back_failure(uint64_t ino) {
  write_back_failures_.fetch_add(1, std::memory_order_relaxed);
  log_limited(LogLevel::kError, "write-back",
              "no memory for what was written to inode " + std::to_string(ino) + " through a shared mapping");
}

// Writes what is behind the first `done` bytes, and adds to them. Order for a crash: contents, slots, then size and
// times with the outcome. Until then the request is executed again.
Result<size_t> FileSystem::write_rest(Operation& op, const WriteArguments& arguments, std::span<const std::byte> data,
                                      size_t& done, Full full) {
  const auto& [ino, offset, kind] = arguments;
  const ReaderLock frozen(freeze_);
  while (true) {
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
    const auto found = find_regular(ino);
    if (!found) return fail(found.error());
    InodeRecord* inode = *found;
    if (!kind.is_write_back && !may_write_at(*inode, offset)) return fail(std::errc::operation_not_permitted);
    if (!truncate_step(ino, *inode)) continue;
    const Admission admission = kind.is_write_back ? Admission::kReserved : Admission::kCapped;
    const auto written = store_.write(ino_index(ino), offset + done, data.subspan(done), admission);
    done += written.value_or(0);
    if (!written && done == 0) {
      // Blocks behind the end must not stay: a later extension would show them.
      drop_behind_end(ino_index(ino), inode->size);
      return fail(written.error());
    }
    const bool is_full = written ? done < data.size() : written.error() == std::errc::no_space_on_device;
    if (is_full && full == Full::kIsAnError) return fail(std::errc::no_space_on_device);
    const Time time = now();
    Transaction transaction = op.begin();
    if (offset + done > inode->size && done > 0) transaction.set(inode->size, offset + done);
    if (kind.drops_privileges) transaction.set(inode->mode, unprivileged_mode(*inode, op.caller()));
    set_times(transaction, *inode, time);
    drop_capability(transaction, *inode);
    op.commit(transaction, {.kind = Outcome::kCount, .unused = 0, .value = done, .attr = {}});
    return done;
  }
}

Result<std::string> FileSystem::readlink(uint64_t ino) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  if (!inode->is_symlink()) return fail(std::errc::invalid_argument);
  std::string target(inode->size, '\0');
  if (auto done = store_.read(ino_index(ino), 0, std::as_writable_bytes(std::span(target))); !done)
    return fail(done.error());
  return target;
}

}  // namespace ztmpfs
