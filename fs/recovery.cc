// Attach: from the durable records to a tree that works, after a crash or at the first start.
#include <atomic>
#include <stdexcept>

#include "base/durable_store.h"
#include "fs/filesystem.h"

namespace ztmpfs {

RequestRecord& request_record(const Image& image, uint32_t slot) {
  const Region region = image.region(RegionId::kRequests);
  ZTMPFS_CHECK((slot + 1) * sizeof(RequestRecord) <= region.length(), "no such request slot");
  return *reinterpret_cast<RequestRecord*>(region.base() + slot * sizeof(RequestRecord));
}

void FileSystem::attach() {
  complete_intents();
  attach_inodes();
  store_.attach([this](BlockStore::OwnerId owner) {
    return inodes_.contains(owner) && inodes_[owner].state != InodeRecord::kFree;
  });
  const InodeLockSet locks(inode_locks_, {});
  attach_names();
  if (find_inode(kRootIno) == nullptr) make_root();
  finish_attach();
}

void FileSystem::complete_intents() {
  for (uint32_t slot = 0; slot < image_.header().request_slots; ++slot) {
    IntentRecord& intent = request_record(image_, slot).intent;
    if (intent.state.load(std::memory_order_acquire) != IntentRecord::kCommitted) continue;
    if (intent.count > IntentRecord::kStoresMax)
      throw std::runtime_error("the image is damaged: an intent is too long");
    intent.apply(image_.meta().base());
    durable_store(intent.state, IntentRecord::kApplied);
  }
}

void FileSystem::attach_inodes() {
  inodes_.attach([](uint32_t, const InodeRecord& inode) {
    if (inode.state > InodeRecord::kAuxiliary)
      throw std::runtime_error("the image is damaged: an inode has an unknown state");
    return inode.state != InodeRecord::kFree || inode.uses == UINT32_MAX;
  });
  const WriterLock lock(directories_mutex_);
  inodes_.allocator().for_each_resident([this](uint32_t index) NO_THREAD_SAFETY_ANALYSIS {
    if (inodes_.contains(index) && inodes_[index].state != InodeRecord::kFree && inodes_[index].is_directory())
      directories_[index] = std::make_unique<DirectoryIndex>(names_);
  });
}

void FileSystem::attach_names() {
  names_.attach([this](uint32_t id, const NameHead& name) NO_THREAD_SAFETY_ANALYSIS {
    const InodeRecord* directory = find_inode(name.parent);
    const InodeRecord* inode = find_inode(name.ino);
    if (directory == nullptr || !directory->is_directory() || inode == nullptr)
      throw std::runtime_error("the image is damaged: a directory entry names an inode that is not there");
    if (!index_of(name.parent)->adopt(id))
      throw std::runtime_error("the image is damaged: a directory has two entries of one name");
  });
  const ReaderLock lock(directories_mutex_);
  for (const auto& [index, directory] : directories_) directory->finish_attach();
}

void FileSystem::make_root() {
  const InodeRecord parent{};
  const Caller owner{options_.root_uid, options_.root_gid};
  const auto index = allocate_inode(parent, owner, {.mode = S_IFDIR | (options_.root_mode & 07777)}, kRootIno);
  if (!index) throw std::runtime_error("the memory cap is too small for a root directory");
  ZTMPFS_CHECK(*index == kRootIno, "the root of a fresh image is not inode 1");
  // A server that died here before has used up a number that nobody was told.
  durable_store(inodes_[*index].uses, 1);
  durable_store(inodes_[*index].state, InodeRecord::kUsed);
}

// What a crash left half done: contents of dead inodes, xattrs without one, contents behind the end of a file.
void FileSystem::finish_attach() {
  inodes_.allocator().for_each_resident([this](uint32_t index) {
    if (!inodes_.contains(index)) return;
    InodeRecord& inode = inodes_[index];
    const uint64_t ino = make_ino(index, inode.uses);
    if (inode.state != InodeRecord::kFree && inode.is_auxiliary()) auxiliaries_.fetch_add(1, std::memory_order_relaxed);
    const bool is_orphan = inode.state == InodeRecord::kUsed && inode.nlink == 0 && inode.lookups == 0;
    const bool is_ownerless = inode.state == InodeRecord::kAuxiliary && !has_owner(index);
    if (is_orphan || is_ownerless) durable_store(inode.state, InodeRecord::kDead);
    if (inode.state == InodeRecord::kDead) {
      queue_purge(ino);
    } else if (inode.is_regular() && (inode.flags & InodeRecord::kTruncating) != 0) {
      // As far as the request that cut it would have gone. The rest is for later, and so is to tell of it.
      truncate_step(ino, inode);
      queue_purge(ino);
    } else if (inode.is_regular() && store_.end(index) > inode.size) {
      // A write that was not finished: it will be executed again. Or it never is: then nothing may be left of it.
      drop_behind_end(index, inode.size);
    }
  });
}

}  // namespace ztmpfs
