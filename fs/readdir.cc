#include <atomic>
#include <optional>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

constexpr uint64_t kDotCookie = 1;
constexpr uint64_t kDotDotCookie = 2;

}  // namespace

// The first entry behind the cookie; nullopt at the end. The name stays valid while the directory is locked.
std::optional<DirectoryEntry> FileSystem::next_entry(uint64_t ino, const InodeRecord& directory,
                                                     uint64_t cookie) const {
  if (cookie < kDotCookie) return DirectoryEntry{".", ino, S_IFDIR, kDotCookie};
  if (cookie < kDotDotCookie) return DirectoryEntry{"..", directory.parent, S_IFDIR, kDotDotCookie};
  const uint32_t id = index_of(ino)->next(cookie);
  if (id == 0) return std::nullopt;
  const NameHead& head = names_[id];
  return DirectoryEntry{head.text(), head.ino, head.type(), head.cookie};
}

Result<void> FileSystem::readdir(uint64_t ino, uint64_t cookie,
                                 const std::function<bool(const DirectoryEntry&)>& visit) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const auto directory = find_directory(ino);
  if (!directory) return fail(directory.error());
  while (const auto entry = next_entry(ino, **directory, cookie)) {
    if (!visit(*entry)) break;
    cookie = entry->cookie;
  }
  return {};
}

// One entry at a time: an entry's inode cannot be locked while its directory is, unless both are locked in order.
Result<size_t> FileSystem::readdirplus(Operation& op, uint64_t ino, uint64_t cookie,
                                       const std::function<size_t(const DirectoryEntry&, const Attr&)>& append) {
  const ReaderLock frozen(freeze_);
  size_t total = 0;
  while (true) {
    uint64_t child = 0;
    {
      const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
      const auto directory = find_directory(ino);
      if (!directory) return fail(directory.error());
      const auto entry = next_entry(ino, **directory, cookie);
      if (!entry) return total;
      child = entry->ino;
    }
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}, {child, InodeLock::kExclusive}});
    const auto directory = find_directory(ino);
    if (!directory) return fail(directory.error());
    const auto entry = next_entry(ino, **directory, cookie);
    if (!entry) return total;
    if (entry->ino != child) continue;  // somebody was faster: look again
    InodeRecord* inode = find_inode(child);
    const bool is_dot = entry->cookie <= kDotDotCookie;
    ZTMPFS_CHECK(inode != nullptr || is_dot, "a directory names an inode that is not there");
    Attr attr{};
    if (inode != nullptr) attr = attr_of(child, *inode);
    const size_t used = append(*entry, attr);
    if (used == 0) return total;
    total += used;
    cookie = entry->cookie;
    if (is_dot) continue;
    Transaction transaction = op.begin();
    transaction.set(inode->lookups, inode->lookups + 1);
    op.commit_progress(transaction, Outcome::kBytes, total);
  }
}

}  // namespace ztmpfs
