// Names that come: lookup, mknod, create, mkdir, symlink, link; and tmpfile, which has none yet.
#include <algorithm>
#include <atomic>

#include "fs/filesystem.h"

namespace ztmpfs {

namespace {

constexpr uint64_t kFirstCookie = 3;          // 1 and 2 are "." and ".."
constexpr uint64_t kEmptyDirectorySize = 40;  // as tmpfs has it: "." and ".." at 20 bytes each

Result<void> check_new_name(std::string_view name) {
  if (name.size() > FileSystem::kNameMax) return fail(std::errc::filename_too_long);
  if (name == "." || name == "..") return fail(std::errc::file_exists);
  if (name.empty() || name.find('/') != name.npos || name.find('\0') != name.npos)
    return fail(std::errc::invalid_argument);
  return {};
}

void set_all_times(InodeRecord& inode, const Time& time) {
  inode.atime_seconds = inode.mtime_seconds = inode.ctime_seconds = inode.btime_seconds = time.seconds;
  inode.atime_nanoseconds = inode.mtime_nanoseconds = inode.ctime_nanoseconds = inode.btime_nanoseconds =
      time.nanoseconds;
}

}  // namespace

Result<Attr> FileSystem::lookup(Operation& op, uint64_t parent, std::string_view name) {
  const ReaderLock frozen(freeze_);
  if (name == ".") return lookup_self(op, parent);
  if (name == "..") {
    uint64_t grandparent = 0;
    {
      const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kShared}});
      const auto directory = find_directory(parent);
      if (!directory) return fail(directory.error());
      grandparent = (*directory)->parent;
    }
    return lookup_self(op, grandparent);
  }
  while (true) {
    const auto seen = peek_name(parent, name);
    if (!seen) return fail(seen.error());
    const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kShared}, {seen->ino, InodeLock::kExclusive}});
    const auto found = find_name(parent, name);
    if (!found) return fail(found.error());
    if (found->ino == seen->ino) return count_lookup(op, found->ino);
  }
}

Result<Attr> FileSystem::lookup_self(Operation& op, uint64_t ino) {
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  return count_lookup(op, ino);
}

Result<Attr> FileSystem::count_lookup(Operation& op, uint64_t ino) {
  InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  const Outcome outcome{.kind = Outcome::kAttr, .unused = 0, .value = 0, .attr = attr_of(ino, *inode)};
  Transaction transaction = op.begin();
  transaction.set(inode->lookups, inode->lookups + 1);
  op.commit(transaction, outcome);
  return outcome.attr;
}

Result<Attr> FileSystem::mknod(Operation& op, uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev) {
  const uint32_t type = mode & S_IFMT;
  const bool is_device = type == S_IFCHR || type == S_IFBLK;
  if (type == S_IFDIR) return fail(std::errc::operation_not_permitted);
  if (!is_device && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK) return fail(std::errc::invalid_argument);
  return make_inode(op, parent, name, {.mode = mode, .rdev = is_device ? rdev : 0});
}

Result<Attr> FileSystem::create(Operation& op, uint64_t parent, std::string_view name, uint32_t mode, bool exclusive) {
  while (true) {
    auto made = make_inode(op, parent, name, {.mode = (mode & 07777) | S_IFREG});
    if (made || made.error() != std::errc::file_exists || exclusive) return made;
    auto found = lookup(op, parent, name);
    if (found || found.error() != std::errc::no_such_file_or_directory) return found;
  }
}

Result<Attr> FileSystem::tmpfile(Operation& op, uint64_t parent, uint32_t mode) {
  return with_room(kRecordsRoom, [&] { return try_tmpfile(op, parent, mode); });
}

Result<Attr> FileSystem::try_tmpfile(Operation& op, uint64_t parent, uint32_t mode) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kExclusive}});
  const auto directory = find_directory(parent);
  if (!directory) return fail(directory.error());
  if ((*directory)->nlink == 0) return fail(std::errc::no_such_file_or_directory);
  if (auto allowed = may_add_name(**directory); !allowed) return fail(allowed.error());
  const auto index = allocate_inode(**directory, op.caller(), {.mode = (mode & 07777) | S_IFREG}, parent);
  if (!index) return fail(index.error());
  InodeRecord& inode = inodes_[*index];
  inode.nlink = 0;
  const uint64_t ino = make_ino(*index, inode.uses);
  const Outcome outcome{.kind = Outcome::kAttr, .unused = 0, .value = 0, .attr = attr_of(ino, inode)};
  Transaction transaction = op.begin();
  publish_inode(transaction, inode);
  op.commit(transaction, outcome);
  return outcome.attr;
}

Result<Attr> FileSystem::mkdir(Operation& op, uint64_t parent, std::string_view name, uint32_t mode) {
  return make_inode(op, parent, name, {.mode = (mode & 07777) | S_IFDIR});
}

Result<Attr> FileSystem::symlink(Operation& op, uint64_t parent, std::string_view name, std::string_view target) {
  if (target.empty()) return fail(std::errc::no_such_file_or_directory);
  if (target.size() > kSymlinkMax) return fail(std::errc::filename_too_long);
  return make_inode(op, parent, name, {.mode = 0777 | S_IFLNK, .symlink_target = target});
}

Result<Attr> FileSystem::make_inode(Operation& op, uint64_t parent, std::string_view name, const NewInode& what) {
  return with_room(kRecordsRoom, [&] { return try_make_inode(op, parent, name, what); });
}

Result<Attr> FileSystem::try_make_inode(Operation& op, uint64_t parent, std::string_view name, const NewInode& what) {
  if (auto valid = check_new_name(name); !valid) return fail(valid.error());
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kExclusive}});
  const auto directory = find_directory(parent);
  if (!directory) return fail(directory.error());
  if ((*directory)->nlink == 0) return fail(std::errc::no_such_file_or_directory);
  if (index_of(parent)->find(name) != 0) return fail(std::errc::file_exists);
  if (auto allowed = may_add_name(**directory); !allowed) return fail(allowed.error());
  const bool is_directory = S_ISDIR(what.mode);
  if (is_directory && (*directory)->nlink == kLinkMax) return fail(std::errc::too_many_links);

  const auto index = allocate_inode(**directory, op.caller(), what, parent);
  if (!index) return fail(index.error());
  InodeRecord& inode = inodes_[*index];
  const uint64_t ino = make_ino(*index, inode.uses);
  const auto name_id = names_.allocate(name, ino, what.mode, (*directory)->next_cookie);
  if (!name_id) {
    discard_inode(*index);
    return fail(name_id.error());
  }
  const Outcome outcome{.kind = Outcome::kAttr, .unused = 0, .value = 0, .attr = attr_of(ino, inode)};
  Transaction transaction = op.begin();
  publish_inode(transaction, inode);
  transaction.set(names_[*name_id].parent, parent);
  change_directory(transaction, {parent, 1, is_directory ? 1 : 0, true}, outcome.attr.btime);
  op.commit(transaction, outcome);
  index_of(parent)->insert(*name_id);
  return outcome.attr;
}

// A free record at the beginning of its next life; 0 if there is no room.
uint32_t FileSystem::begin_record(Admission admission) {
  const uint32_t index = inodes_.allocator().allocate(admission);
  if (index == 0) return 0;
  InodeRecord& record = inodes_[index];
  const uint32_t floor = image_.header().inode_generation_floor();
  record.begin_life(std::max(record.uses, floor) + 1);
  return index;
}

void FileSystem::publish_inode(Transaction& transaction, InodeRecord& inode) {
  transaction.set(inode.state, InodeRecord::kUsed);
  if (inode.xattrs != 0) transaction.set(inodes_[inode.xattrs].state, InodeRecord::kAuxiliary);
}

// A record that is complete but for its state: after a crash it is still free.
Result<uint32_t> FileSystem::allocate_inode(const InodeRecord& parent, const Caller& caller, const NewInode& what,
                                            uint64_t parent_ino) {
  const uint32_t index = begin_record(Admission::kCapped);
  if (index == 0) return fail(std::errc::no_space_on_device);
  InodeRecord& inode = inodes_[index];
  const bool is_directory = S_ISDIR(what.mode);
  const bool inherits_group = (parent.mode & S_ISGID) != 0;
  kill_point();
  inode.mode = what.mode | (is_directory && inherits_group ? S_ISGID : 0);
  inode.nlink = is_directory ? 2 : 1;
  inode.uid = caller.uid;
  inode.gid = inherits_group ? parent.gid : caller.gid;
  inode.rdev = what.rdev;
  inode.size = is_directory ? kEmptyDirectorySize : what.symlink_target.size();
  inode.lookups = 1;
  inode.parent = is_directory ? parent_ino : 0;
  inode.next_cookie = kFirstCookie;
  inode.flags = parent.flags & InodeRecord::kInheritedFlags;
  set_all_times(inode, now());
  if (!what.symlink_target.empty()) {
    const auto written = store_.write(index, 0, std::as_bytes(std::span(what.symlink_target)));
    if (!written || *written < what.symlink_target.size()) {
      discard_inode(index);
      return fail(std::errc::no_space_on_device);
    }
  }
  if (auto inherited = inherit_acl(parent, caller, make_ino(index, inode.uses), inode); !inherited) {
    discard_inode(index);
    return fail(inherited.error());
  }
  if (is_directory) {
    const WriterLock lock(directories_mutex_);
    directories_[index] = std::make_unique<DirectoryIndex>(names_);
  }
  return index;
}

// Takes back a record that no transaction has published, or that is dead, with contents that are not large.
void FileSystem::discard_inode(uint32_t index) {
  while (!store_.truncate(index, 0, kMiB)) {
  }
  free_inode(index);
}

Result<Attr> FileSystem::link(Operation& op, uint64_t ino, uint64_t parent, std::string_view name) {
  return with_room(kRecordsRoom, [&] { return try_link(op, ino, parent, name); });
}

Result<Attr> FileSystem::try_link(Operation& op, uint64_t ino, uint64_t parent, std::string_view name) {
  if (auto valid = check_new_name(name); !valid) return fail(valid.error());
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kExclusive}, {ino, InodeLock::kExclusive}});
  const auto directory = find_directory(parent);
  if (!directory) return fail(directory.error());
  if ((*directory)->nlink == 0) return fail(std::errc::no_such_file_or_directory);
  InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  if (inode->is_directory()) return fail(std::errc::operation_not_permitted);
  if (index_of(parent)->find(name) != 0) return fail(std::errc::file_exists);
  if (auto allowed = may_add_name(**directory); !allowed) return fail(allowed.error());
  if (inode->is_protected()) return fail(std::errc::operation_not_permitted);
  if (inode->nlink >= kLinkMax) return fail(std::errc::too_many_links);
  const auto name_id = names_.allocate(name, ino, inode->mode, (*directory)->next_cookie);
  if (!name_id) return fail(name_id.error());
  const Time time = now();
  Outcome outcome{.kind = Outcome::kAttr, .unused = 0, .value = 0, .attr = attr_of(ino, *inode)};
  outcome.attr.nlink = inode->nlink + 1;
  outcome.attr.ctime = time;
  Transaction transaction = op.begin();
  transaction.set(inode->nlink, inode->nlink + 1);
  transaction.set(inode->lookups, inode->lookups + 1);
  set_ctime(transaction, *inode, time);
  transaction.set(names_[*name_id].parent, parent);
  change_directory(transaction, {parent, 1, 0, true}, time);
  op.commit(transaction, outcome);
  index_of(parent)->insert(*name_id);
  return outcome.attr;
}

}  // namespace ztmpfs
