#include "fs/filesystem.h"

#include <algorithm>

#include "base/durable_store.h"

namespace ztmpfs {

namespace {

// Larger buffers for readdir and cp; pages are still written one by one.
constexpr uint32_t kPreferredIoSize = 64 * kKiB;
constexpr uint64_t kStatBlock = 512;
// tmpfs counts so many bytes for each entry of a directory (BOGO_DIRENT_SIZE, mm/shmem.c).
constexpr int64_t kEntrySize = 20;

}  // namespace

FileSystem::FileSystem(const Image& image, BlockStore& store, MemoryBudget& budget, const Clock& clock,
                       FileSystemOptions options)
    : image_(image),
      store_(store),
      clock_(clock),
      options_(options),
      budget_(budget),
      inodes_(image.region(RegionId::kInodes), budget),
      names_(image, budget) {
  // The page takes its records' use counts with it: no later inode there may start below them.
  inodes_.allocator().set_before_punch([this](uint32_t first) {
    uint32_t uses = image_.header().inode_generation_floor();
    for (uint32_t i = 0; i < DurableTable<InodeRecord>::kRecordsPerPage; ++i)
      uses = std::max(uses, inodes_[first + i].uses);
    image_.header().set_inode_generation_floor(uses);
  });
}

FileSystem::~FileSystem() = default;

// nullptr for a number that names no inode (any more).
InodeRecord* FileSystem::find_inode(uint64_t ino) const {
  if (!inodes_.contains(ino_index(ino))) return nullptr;
  InodeRecord& inode = inodes_[ino_index(ino)];
  return inode.ino_if(InodeRecord::kUsed, ino_index(ino)) == ino ? &inode : nullptr;
}

Result<InodeRecord*> FileSystem::find_directory(uint64_t ino) const {
  InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  if (!inode->is_directory()) return fail(std::errc::not_a_directory);
  return inode;
}

Result<InodeRecord*> FileSystem::find_regular(uint64_t ino) const {
  InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  if (inode->is_directory()) return fail(std::errc::is_a_directory);
  if (!inode->is_regular()) return fail(std::errc::invalid_argument);
  return inode;
}

DirectoryIndex* FileSystem::index_of(uint64_t ino) const {
  ReaderLock lock(directories_mutex_);
  const auto found = directories_.find(ino_index(ino));
  ZTMPFS_CHECK(found != directories_.end(), "a directory has no index");
  return found->second.get();
}

Result<FileSystem::Found> FileSystem::find_name(uint64_t parent, std::string_view name) const {
  if (name.size() > kNameMax) return fail(std::errc::filename_too_long);
  const auto directory = find_directory(parent);
  if (!directory) return fail(directory.error());
  const uint32_t id = index_of(parent)->find(name);
  if (id == 0) return fail(std::errc::no_such_file_or_directory);
  const NameHead& head = names_[id];
  return Found{id, head.ino, head.type()};
}

// What the name names at this moment: to be looked up again once the inode is locked too.
Result<FileSystem::Found> FileSystem::peek_name(uint64_t parent, std::string_view name) {
  const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kShared}});
  return find_name(parent, name);
}

Time FileSystem::now() const {
  const timespec time = clock_.realtime();
  return {time.tv_sec, uint32_t(time.tv_nsec), 0};
}

Attr FileSystem::attr_of(uint64_t ino, const InodeRecord& inode) const {
  const bool has_contents = inode.is_regular() || inode.is_symlink();
  const Bytes stored = has_contents ? store_.stored_bytes(ino_index(ino)) : 0;
  return {.ino = ino,
          .size = inode.size,
          .blocks = (stored + kStatBlock - 1) / kStatBlock,
          .atime = {inode.atime_seconds, inode.atime_nanoseconds, 0},
          .mtime = {inode.mtime_seconds, inode.mtime_nanoseconds, 0},
          .ctime = {inode.ctime_seconds, inode.ctime_nanoseconds, 0},
          .btime = {inode.btime_seconds, inode.btime_nanoseconds, 0},
          .mode = inode.mode,
          .nlink = inode.nlink,
          .uid = inode.uid,
          .gid = inode.gid,
          .rdev = inode.rdev,
          .block_size = kPreferredIoSize};
}

void FileSystem::set_times(Transaction& transaction, InodeRecord& inode, const Time& time) const {
  transaction.set(inode.mtime_seconds, time.seconds, inode.mtime_nanoseconds, time.nanoseconds, inode.ctime_seconds,
                  time.seconds, inode.ctime_nanoseconds, time.nanoseconds);
}

void FileSystem::set_ctime(Transaction& transaction, InodeRecord& inode, const Time& time) const {
  transaction.set(inode.ctime_seconds, time.seconds, inode.ctime_nanoseconds, time.nanoseconds);
}

void FileSystem::change_directory(Transaction& transaction, const DirectoryChange& change, const Time& time) {
  InodeRecord& directory = *find_inode(change.ino);
  if (change.entries != 0) transaction.set(directory.size, directory.size + uint64_t(change.entries * kEntrySize));
  if (change.subdirectories != 0) transaction.set(directory.nlink, directory.nlink + uint32_t(change.subdirectories));
  if (change.new_cookie) transaction.set(directory.next_cookie, directory.next_cookie + 1);
  set_times(transaction, directory, time);
}

FileSystemUsage FileSystem::usage() const {
  // What a small file costs in inode, name, slot, handle and bytes; there is no limit on files but memory.
  constexpr Bytes kFileCost = 512;
  const Bytes reusable = store_.reusable_bytes();
  const Bytes taken = budget_.used() + budget_.promised();
  const Bytes used = taken - std::min(reusable, taken);
  const Bytes memory = budget_.available() + reusable;
  FileSystemUsage usage{};
  if (const Bytes limit = store_.logical_limit(); limit != 0) {
    usage.total = limit;
    usage.free = usage.available = limit - std::min(store_.stats().orig_data_size, limit);
  } else {
    usage.total = budget_.limit();
    usage.free = usage.total - std::min(used, usage.total);
    usage.available = std::min(memory, usage.free);
  }
  usage.block_size = kPageSize;
  usage.files = files();
  usage.files_free = memory / kFileCost;
  return usage;
}

uint64_t FileSystem::files() const {
  return inodes_.allocator().records_used() - auxiliaries_.load(std::memory_order_relaxed);
}

uint64_t FileSystem::directories() const {
  ReaderLock lock(directories_mutex_);
  return directories_.size();
}

Bytes FileSystem::metadata_bytes() const { return inodes_.allocator().resident() + names_.resident(); }

uint64_t FileSystem::ino_of(BlockStore::OwnerId owner) const {
  const InodeLockSet locks(inode_locks_, {{owner, InodeLock::kShared}});
  if (!inodes_.contains(owner)) return 0;
  return inodes_[owner].ino_if(InodeRecord::kUsed, owner);
}

}  // namespace ztmpfs
