#include <unordered_map>

#include "fs/filesystem.h"

namespace ztmpfs {

struct FileSystem::AuditTotals {
  struct Counts {
    uint64_t names = 0;
    uint64_t subdirectories = 0;
    uint64_t named_in = 0;  // the last directory that names it
  };
  std::unordered_map<uint64_t, Counts> counts;  // by inode number
  std::vector<std::string> breaches;

  void check(bool holds, uint64_t ino, const char* breach) {
    if (!holds) breaches.push_back("inode " + std::to_string(ino) + ": " + breach);
  }
};

std::vector<std::string> FileSystem::audit() {
  const WriterLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {});
  AuditTotals totals;
  totals.breaches = store_.audit();
  audit_names(totals);
  uint64_t used = 0;
  inodes_.allocator().for_each_resident([&](uint32_t index) NO_THREAD_SAFETY_ANALYSIS {
    if (!inodes_.contains(index)) return;
    ++used;
    const InodeRecord& inode = inodes_[index];
    if (inode.state == InodeRecord::kUsed) audit_inode(make_ino(index, inode.uses), inode, totals);
    if (inode.state == InodeRecord::kAuxiliary) totals.check(has_owner(index), inode.parent, "left xattrs behind");
  });
  if (used != inodes_.allocator().records_used())
    totals.breaches.push_back("there are inodes on pages that are not resident");
  return totals.breaches;
}

void FileSystem::audit_names(AuditTotals& totals) const {
  const ReaderLock lock(directories_mutex_);
  uint64_t names = 0;
  for (const auto& [index, directory] : directories_) {
    const InodeRecord& parent = inodes_[index];
    const uint64_t ino = make_ino(index, parent.uses);
    uint64_t entries = 0;
    for (uint64_t cookie = 0;; ++entries) {
      const uint32_t id = directory->next(cookie);
      if (id == 0) break;
      const NameHead& name = names_[id];
      auto& counts = totals.counts[name.ino];
      ++counts.names;
      counts.named_in = ino;
      if (S_ISDIR(name.type())) ++totals.counts[ino].subdirectories;
      totals.check(name.parent == ino, ino, "an entry says that it is in another directory");
      totals.check(name.cookie > cookie && name.cookie < parent.next_cookie, ino, "cookies are out of order");
      totals.check(NameTable::hash(name.text()) == name.hash(), ino, "an entry has another name than was stored");
      totals.check(directory->find(name.text()) == id, ino, "an entry is not found by its name");
      cookie = name.cookie;
    }
    names += entries;
    totals.check(entries == directory->size(), ino, "the index by name and the one by cookie differ");
    totals.check(parent.size == 40 + 20 * entries, ino, "the size does not tell the number of entries");
  }
  if (names != names_.names_used()) totals.breaches.push_back("there are names in no directory");
}

void FileSystem::audit_inode(uint64_t ino, const InodeRecord& inode, AuditTotals& totals) const {
  const auto& counts = totals.counts[ino];
  const uint64_t names = counts.names + (ino == kRootIno ? 1 : 0);
  totals.check(inode.nlink != 0 || inode.lookups != 0, ino, "is neither linked nor looked up");
  if (inode.is_directory()) {
    totals.check(names <= 1, ino, "is a directory with several names");
    totals.check(inode.nlink == (names == 0 ? 0 : 2 + counts.subdirectories), ino, "has the wrong link count");
    totals.check(ino == kRootIno || names == 0 || inode.parent == counts.named_in, ino, "is not in its parent");
  } else {
    totals.check(inode.nlink == names, ino, "has the wrong link count");
  }
  if (inode.is_regular() && (inode.flags & InodeRecord::kTruncating) == 0)
    totals.check(store_.end(ino_index(ino)) <= inode.size, ino, "has contents behind its end");
  totals.check(inode.parity == inode.expected_parity(), ino, "is not what was written last");
  audit_xattrs(ino, inode, totals.breaches);
  if (inode.is_symlink())
    totals.check(store_.end(ino_index(ino)) == inode.size, ino, "is a symlink without its target");
}

}  // namespace ztmpfs
