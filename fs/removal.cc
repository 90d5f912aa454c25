// Names that go, inodes that go with them, and contents that take longer to go.
#include <atomic>

#include "base/durable_store.h"
#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

// Contents up to this size are freed by the request itself; and so much at a time is freed of larger ones.
constexpr Bytes kFreeStep = kMiB;

}  // namespace

Result<void> FileSystem::unlink(Operation& op, uint64_t parent, std::string_view name) {
  if (name == "." || name == "..") return fail(std::errc::is_a_directory);
  return remove(op, parent, name, false);
}

Result<void> FileSystem::rmdir(Operation& op, uint64_t parent, std::string_view name) {
  if (name == ".") return fail(std::errc::invalid_argument);
  if (name == "..") return fail(std::errc::directory_not_empty);
  return remove(op, parent, name, true);
}

Result<void> FileSystem::remove(Operation& op, uint64_t parent, std::string_view name, bool is_rmdir) {
  const ReaderLock frozen(freeze_);
  uint64_t dead = 0;
  while (true) {
    const auto seen = peek_name(parent, name);
    if (!seen) return fail(seen.error());
    const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kExclusive}, {seen->ino, InodeLock::kExclusive}});
    const auto found = find_name(parent, name);
    if (!found) return fail(found.error());
    if (found->ino != seen->ino) continue;
    InodeRecord& victim = *find_inode(found->ino);
    if (auto allowed = may_remove_name(*find_inode(parent), victim); !allowed) return allowed;
    if (is_rmdir && !victim.is_directory()) return fail(std::errc::not_a_directory);
    if (!is_rmdir && victim.is_directory()) return fail(std::errc::is_a_directory);
    if (is_rmdir && !index_of(found->ino)->empty()) return fail(std::errc::directory_not_empty);
    const Time time = now();
    Transaction transaction = op.begin();
    transaction.set(names_[found->name_id].parent, 0);
    change_directory(transaction, {parent, -1, is_rmdir ? -1 : 0, false}, time);
    if (drop_link(transaction, victim, time)) dead = found->ino;
    op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
    erase_name(parent, found->name_id);
    break;
  }
  if (dead != 0) reap(dead);
  return {};
}

// Where statfs tells of the bytes of files, it tells of them exactly: nothing that is gone may wait.
bool FileSystem::frees_at_once() const { return store_.logical_limit() != 0; }

// True if the inode is dead with that: the caller reaps it once the locks are dropped.
bool FileSystem::drop_link(Transaction& transaction, InodeRecord& inode, const Time& time) {
  const uint32_t nlink = inode.is_directory() ? 0 : inode.nlink - 1;
  transaction.set(inode.nlink, nlink);
  set_ctime(transaction, inode, time);
  const bool died = nlink == 0 && inode.lookups == 0;
  if (died) transaction.set(inode.state, InodeRecord::kDead);
  return died;
}

void FileSystem::erase_name(uint64_t parent, uint32_t name_id) {
  index_of(parent)->erase(name_id);
  names_.release(name_id);
}

void FileSystem::forget(Operation& op, std::span<const Forget> items) {
  const ReaderLock frozen(freeze_);
  const uint64_t first = op.has_outcome() ? op.outcome().value : 0;
  for (uint64_t i = first; i < items.size(); ++i) {
    const auto [ino, lookups] = items[i];
    bool died = false;
    {
      const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
      InodeRecord* inode = find_inode(ino);
      if (inode == nullptr) continue;
      const uint64_t left = inode->lookups - std::min(lookups, inode->lookups);
      died = left == 0 && inode->nlink == 0;
      Transaction transaction = op.begin();
      transaction.set(inode->lookups, left);
      if (died) transaction.set(inode->state, InodeRecord::kDead);
      op.commit_progress(transaction, Outcome::kItems, i + 1);
    }
    if (died) reap(ino);
  }
}

// Frees a dead inode. The purge queue may hold it too: whoever comes second finds it gone.
void FileSystem::reap(uint64_t ino) {
  const uint32_t index = ino_index(ino);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  if (!is_dead(ino)) return;
  while (!store_.truncate(index, 0, kFreeStep))
    if (!frees_at_once()) return queue_purge(ino);
  free_inode(index);
}

bool FileSystem::is_dead(uint64_t ino) const {
  const uint32_t index = ino_index(ino);
  return inodes_.contains(index) && inodes_[index].ino_if(InodeRecord::kDead, index) == ino;
}

// The record may be used again: under another number, or not at all once its numbers are used up. Xattrs go with their
// inode, the reference first: after a crash in between nobody owns them, and attach frees them.
void FileSystem::free_inode(uint32_t index) {
  InodeRecord& inode = inodes_[index];
  if (const uint32_t xattrs = inode.xattrs; xattrs != 0) {
    durable_store(inode.xattrs, 0);
    discard_inode(xattrs);
  }
  if (inode.is_auxiliary()) auxiliaries_.fetch_sub(1, std::memory_order_relaxed);
  if (inode.is_directory()) {
    const WriterLock lock(directories_mutex_);
    directories_.erase(index);
    if (directories_.size() < directories_.bucket_count() / 8) directories_.rehash(0);
  }
  durable_store(inode.state, InodeRecord::kFree);
  if (inode.uses != UINT32_MAX) inodes_.allocator().release(index);
}

void FileSystem::queue_purge(uint64_t ino) {
  {
    MutexLock lock(purge_mutex_);
    purge_queue_.push_back(ino);
  }
  if (on_purge_) on_purge_();
}

void FileSystem::set_on_purge(std::function<void()> on_purge) { on_purge_ = std::move(on_purge); }

void FileSystem::set_on_cut(std::function<void(BlockStore::OwnerId)> on_cut) { on_cut_ = std::move(on_cut); }

// One bounded step of freeing what lies behind the end of a file that was cut; true when nothing is left there.
bool FileSystem::truncate_step(uint64_t ino, InodeRecord& inode) {
  if ((inode.flags & InodeRecord::kTruncating) == 0) return true;
  while (!store_.truncate(ino_index(ino), inode.size, kFreeStep))
    if (!frees_at_once()) return false;
  durable_store(inode.flags, inode.flags & ~InodeRecord::kTruncating);
  return true;
}

bool FileSystem::purge_step() {
  const ReaderLock frozen(freeze_);
  uint64_t ino = 0;
  {
    MutexLock lock(purge_mutex_);
    if (purge_queue_.empty()) return false;
    ino = purge_queue_.front();
    purge_queue_.pop_front();
  }
  {
    const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
    InodeRecord* inode = find_inode(ino);
    if (inode != nullptr && !truncate_step(ino, *inode)) {
      queue_purge(ino);
    } else if (inode != nullptr && on_cut_) {
      on_cut_(ino_index(ino));
    }
  }
  reap(ino);
  return true;
}

void FileSystem::end_connection() {
  std::vector<uint64_t> dead;
  {
    const WriterLock frozen(freeze_);
    inodes_.allocator().for_each_resident([&](uint32_t index) {
      if (!inodes_.contains(index) || inodes_[index].state != InodeRecord::kUsed) return;
      InodeRecord& inode = inodes_[index];
      // In between attach finds an inode with neither links nor lookups, and takes it for dead too.
      durable_store(inode.lookups, 0);
      if (inode.nlink != 0) return;
      durable_store(inode.state, InodeRecord::kDead);
      dead.push_back(make_ino(index, inode.uses));
    });
  }
  for (const uint64_t ino : dead) {
    const ReaderLock frozen(freeze_);
    reap(ino);
  }
}

}  // namespace ztmpfs
