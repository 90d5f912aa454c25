// Attach: from the durable records to a tree that works, after a crash or at the first start. Every record is judged on
// the way, by itself and by what others say of it: what audit() would report is refused here.
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <stdexcept>
#include <vector>

#include "base/durable_store.h"
#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

constexpr uint32_t kErrnoEnd = 512;  // the kernel takes no answer with a higher one (fs/fuse/dev.c)
constexpr uint32_t kNanosecondsEnd = 1'000'000'000;

[[noreturn]] void throw_damaged(const std::string& what, const std::string& breach) {
  throw std::runtime_error("the image is damaged: " + what + " " + breach);
}

[[noreturn]] void throw_damaged_inode(uint64_t ino, const char* breach) {
  throw_damaged("inode " + std::to_string(ino), breach);
}

bool is_known_type(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK: return (mode & ~(S_IFMT | 07777U)) == 0;
    default: return false;
  }
}

void check_request(uint32_t slot, const RequestRecord& record, Bytes meta_length, Bytes reply_max) {
  const auto damaged = [&](const char* breach) { throw_damaged("request " + std::to_string(slot), breach); };
  const uint32_t state = record.intent.state.load(std::memory_order_acquire);
  if (state == IntentRecord::kIdle) return;
  if (state != IntentRecord::kCommitted && state != IntentRecord::kApplied) damaged("is in no known state");
  // Once it is applied, the next one may have been begun in its place.
  if (state == IntentRecord::kCommitted && !record.intent.is_intact(meta_length))
    damaged("has an intent that is not the one that was committed");
  const Outcome& outcome = record.outcome;
  if (outcome.kind > Outcome::kError) damaged("has an unknown outcome");
  if (outcome.kind == Outcome::kError && (outcome.value == 0 || outcome.value >= kErrnoEnd))
    damaged("has failed with an unknown error");
  if (outcome.kind == Outcome::kBytes && outcome.value > reply_max) damaged("has a longer reply than there is room");
}

// What a record in use says by itself.
void check_record(uint64_t ino, const InodeRecord& inode) {
  const auto check = [&](bool holds, const char* breach) {
    if (!holds) throw_damaged_inode(ino, breach);
  };
  check(inode.uses != 0, "was never made");
  if (inode.state == InodeRecord::kDead) return;
  check(inode.parity == inode.expected_parity(), "is not what was written last");
  check(inode.is_auxiliary() == (inode.state == InodeRecord::kAuxiliary), "has a type that does not go with its state");
  if (inode.is_auxiliary()) return check(inode.size <= FileSystem::kXattrsMax, "is too long for xattrs");
  check(is_known_type(inode.mode), "has an unknown type");
  check(inode.size <= FileSystem::kFileSizeMax, "is longer than a file can be");
  check(!inode.is_symlink() || inode.size <= FileSystem::kSymlinkMax, "is longer than a symlink can be");
  check((inode.flags & ~uint32_t(InodeRecord::kKnownFlags)) == 0, "has unknown flags");
  check(inode.atime_nanoseconds < kNanosecondsEnd && inode.mtime_nanoseconds < kNanosecondsEnd &&
            inode.ctime_nanoseconds < kNanosecondsEnd && inode.btime_nanoseconds < kNanosecondsEnd,
        "has an impossible time");
  check(inode.xattrs != 0 || inode.xattr_kinds == 0, "says that it has xattrs, and has none");
}

}  // namespace

/// What the records say of each other, while they are gone through.
struct FileSystem::AttachTally {
  // Names of an inode, by its record: most have one.
  std::vector<bool> has_name;
  boost::unordered_flat_map<uint32_t, uint32_t> more_names;
  boost::unordered_flat_map<uint32_t, uint32_t> subdirectories;
  std::vector<uint32_t> longer;  // records whose contents end behind their size

  void add_name(uint32_t index) {
    if (index >= has_name.size()) has_name.resize(std::max<size_t>(index + 1, has_name.size() * 2));
    if (has_name[index]) ++more_names[index];
    has_name[index] = true;
  }
  uint64_t names(uint32_t index) const {
    if (index >= has_name.size() || !has_name[index]) return 0;
    const auto more = more_names.find(index);
    return 1 + (more == more_names.end() ? 0 : more->second);
  }
  uint64_t subdirectories_of(uint32_t index) const {
    const auto found = subdirectories.find(index);
    return found == subdirectories.end() ? 0 : found->second;
  }
};

RequestRecord& request_record(const Image& image, uint32_t slot) {
  const Region region = image.region(RegionId::kRequests);
  ZTMPFS_CHECK((slot + 1) * sizeof(RequestRecord) <= region.length(), "no such request slot");
  return *reinterpret_cast<RequestRecord*>(region.base() + slot * sizeof(RequestRecord));
}

void FileSystem::attach() {
  AttachTally tally;
  complete_intents();
  attach_inodes();
  store_.attach([&](BlockStore::OwnerId owner, uint64_t end) {
    if (!inodes_.contains(owner)) return false;
    if (end > inodes_[owner].size) tally.longer.push_back(owner);
    return true;
  });
  const InodeLockSet locks(inode_locks_, {});
  attach_names(tally);
  if (find_inode(kRootIno) == nullptr) make_root();
  inodes_.for_each_used([&](uint32_t index) NO_THREAD_SAFETY_ANALYSIS { check_inode(index, tally); });
  clean_up(tally);
}

// Nothing is stored unless all of it is to be believed.
void FileSystem::complete_intents() {
  const uint32_t slots = image_.header().request_slots;
  const Bytes reply_max = image_.geometry().request_buffer_size;
  for (uint32_t slot = 0; slot < slots; ++slot)
    check_request(slot, request_record(image_, slot), image_.meta().length(), reply_max);
  for (uint32_t slot = 0; slot < slots; ++slot) {
    IntentRecord& intent = request_record(image_, slot).intent;
    if (intent.state.load(std::memory_order_acquire) != IntentRecord::kCommitted) continue;
    intent.apply(image_.meta().base());
    Operation::set_parities({intent.stores.data(), intent.count}, image_.region(RegionId::kInodes),
                            image_.meta().base());
    durable_store(intent.state, IntentRecord::kApplied);
  }
}

void FileSystem::attach_inodes() {
  const WriterLock lock(directories_mutex_);
  inodes_.attach([this](uint32_t index, const InodeRecord& inode) NO_THREAD_SAFETY_ANALYSIS {
    // A record whose numbers are used up stays in use for ever.
    if (inode.state == InodeRecord::kFree) return inode.uses == UINT32_MAX;
    if (inode.state != InodeRecord::kUsed && inode.state != InodeRecord::kDead &&
        inode.state != InodeRecord::kAuxiliary)
      throw_damaged("inode record " + std::to_string(index), "is in no known state");
    check_record(make_ino(index, inode.uses), inode);
    if (inode.is_directory()) directories_[index] = std::make_unique<DirectoryIndex>(names_);
    return true;
  });
}

void FileSystem::attach_names(AttachTally& tally) {
  names_.attach([&](uint32_t id, const NameHead& name) NO_THREAD_SAFETY_ANALYSIS {
    const InodeRecord* directory = find_inode(name.parent);
    const InodeRecord* inode = find_inode(name.ino);
    const auto check = [&](bool holds, const char* breach) {
      if (!holds)
        throw_damaged("the entry '" + std::string(name.text()) + "' of directory " + std::to_string(name.parent),
                      breach);
    };
    check(directory != nullptr && directory->is_directory(), "is in no directory");
    check(inode != nullptr, "names an inode that is not there");
    check(name.type() == (inode->mode & S_IFMT), "names an inode of another type than it says");
    check(name.cookie < directory->next_cookie, "has a cookie that was not given out yet");
    check(!inode->is_directory() || inode->parent == name.parent, "names a directory that is elsewhere");
    check(index_of(name.parent)->adopt(id), "is there twice");
    tally.add_name(ino_index(name.ino));
    if (inode->is_directory()) ++tally.subdirectories[ino_index(name.parent)];
  });
  const ReaderLock lock(directories_mutex_);
  for (const auto& [index, directory] : directories_) {
    if (!directory->finish_attach())
      throw_damaged_inode(make_ino(index, inodes_[index].uses), "has two entries of one cookie");
  }
}

void FileSystem::make_root() {
  if (inodes_.allocator().records_used() != 0 || names_.names_used() != 0)
    throw_damaged("the root directory", "is not there");
  const InodeRecord parent{};
  const Caller owner{options_.root_uid, options_.root_gid};
  const auto index = allocate_inode(parent, owner, {.mode = S_IFDIR | (options_.root_mode & 07777)}, kRootIno);
  if (!index) throw std::runtime_error("the memory cap is too small for a root directory");
  ZTMPFS_CHECK(*index == ino_index(kRootIno), "the root of a fresh image is not inode 1");
  InodeRecord& root = inodes_[*index];
  // A server that died here before has used up a number that nobody was told.
  durable_store(root.uses, 1);
  root.parity = root.expected_parity();
  durable_store(root.state, InodeRecord::kUsed);
}

// What an inode says, beside what names, blocks and other inodes say of it. audit() checks the same.
void FileSystem::check_inode(uint32_t index, const AttachTally& tally) const {
  const InodeRecord& inode = inodes_[index];
  if (inode.state != InodeRecord::kUsed) return;
  const uint64_t ino = make_ino(index, inode.uses);
  const auto check = [&](bool holds, const char* breach) {
    if (!holds) throw_damaged_inode(ino, breach);
  };
  const uint64_t names = tally.names(index) + (ino == kRootIno ? 1 : 0);
  if (inode.is_directory()) {
    check(names <= 1, "is a directory with several names");
    check(inode.nlink == (names == 0 ? 0 : 2 + tally.subdirectories_of(index)), "has the wrong link count");
    check(inode.size == 40 + 20 * index_of(ino)->size(), "has entries that were not made, or lacks some that were");
  } else {
    check(inode.nlink == names, "has the wrong link count");
  }
  check(!inode.is_symlink() || store_.end(index) == inode.size, "is a symlink without its target");
  if (inode.xattrs != 0) {
    check(owns_xattrs(ino, inode), "refers to xattrs that are not its own");
    check(store_.end(inode.xattrs) == inodes_[inode.xattrs].size, "has xattrs of another length than they say");
  }
}

// What a crash left half done: contents of dead inodes, xattrs without one, contents behind the end of a file.
void FileSystem::clean_up(const AttachTally& tally) {
  inodes_.for_each_used([this](uint32_t index) NO_THREAD_SAFETY_ANALYSIS {
    InodeRecord& inode = inodes_[index];
    if (inode.state != InodeRecord::kFree && inode.is_auxiliary()) auxiliaries_.fetch_add(1, std::memory_order_relaxed);
    const bool is_orphan = inode.state == InodeRecord::kUsed && inode.nlink == 0 && inode.lookups == 0;
    const bool is_ownerless = inode.state == InodeRecord::kAuxiliary && !has_owner(index);
    if (is_orphan || is_ownerless) durable_store(inode.state, InodeRecord::kDead);
    const bool is_cut = inode.is_regular() && (inode.flags & InodeRecord::kTruncating) != 0;
    // As far as the request that cut it would have gone. The rest is for later, and so is to tell of it.
    if (inode.state == InodeRecord::kUsed && is_cut) truncate_step(make_ino(index, inode.uses), inode);
    if (inode.state == InodeRecord::kDead || (inode.state == InodeRecord::kUsed && is_cut))
      queue_purge(make_ino(index, inode.uses));
  });
  // A write that was not finished: it will be executed again. Or it never is: then nothing may be left of it.
  for (const uint32_t index : tally.longer) {
    const InodeRecord& inode = inodes_[index];
    const bool is_cut = (inode.flags & InodeRecord::kTruncating) != 0;
    if (inode.state == InodeRecord::kUsed && inode.is_regular() && !is_cut) drop_behind_end(index, inode.size);
  }
}

}  // namespace ztmpfs
