#pragma once

#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/attr.h"
#include "fs/directory_index.h"
#include "fs/inode.h"
#include "fs/inode_locks.h"
#include "fs/name_table.h"
#include "fs/operation.h"
#include "fs/xattr_blob.h"
#include "store/block_store.h"

namespace ztmpfs {

/// One entry as readdir tells it.
struct DirectoryEntry {
  std::string_view name;
  uint64_t ino;
  uint32_t mode;    ///< file type bits only
  uint64_t cookie;  ///< pass it to go on behind this entry
};

/// What statfs(2) tells.
struct FileSystemUsage {
  Bytes total;      ///< the memory cap, or the `logical` cap
  Bytes free;       ///< what is not used, the reserve included
  Bytes available;  ///< what can still be written
  Bytes block_size;
  uint64_t files;  ///< inodes in use
  uint64_t files_free;
};

/// One item of FORGET and BATCH_FORGET.
struct Forget {
  uint64_t ino;
  uint64_t lookups;
};

/// What setxattr(2) is to do.
struct XattrAssignment {
  std::string_view name;
  std::span<const std::byte> value;
  uint32_t flags = 0;  ///< XATTR_CREATE, XATTR_REPLACE
  /// For access ACLs: whether the caller may not keep S_ISGID. Without the kernel's word the caller's uid and groups
  /// decide.
  std::optional<bool> kills_sgid = {};
};

/// What a WRITE is besides its data.
struct WriteKind {
  bool drops_privileges = false;  ///< suid and sgid go; the transport knows whether the caller may keep them
  bool is_write_back = false;     ///< of a page that was changed by mmap(2), earlier
};

struct FileSystemOptions {
  uint32_t root_uid = 0;
  uint32_t root_gid = 0;
  uint32_t root_mode = 01777;
  bool acl = false;  ///< there are POSIX ACLs
};

/// The POSIX tree over a BlockStore: inodes, directories, links, attributes. Knows no libfuse.
///
/// Thread-safe. Every operation that changes something takes an Operation, whose outcome is durable together with the
/// change. Inode numbers are never reused; each reference the kernel holds is a lookup count in the inode, and an
/// inode without links and lookups is freed. Permissions are the kernel's affair (DESIGN: FUSE).
/// Locks: freeze > tree > inodes (ascending) > the store's.
class FileSystem {
 public:
  static constexpr uint64_t kRootIno = 1;
  static constexpr uint64_t kFileSizeMax = INT64_MAX;
  static constexpr size_t kNameMax = 255;
  static constexpr size_t kSymlinkMax = 4095;
  static constexpr uint32_t kLinkMax = 0x7fffffff;
  static constexpr size_t kXattrNameMax = 255;
  static constexpr size_t kXattrValueMax = 64 * kKiB;
  /// Of one inode, names and values.
  static constexpr Bytes kXattrsMax = kMiB;

  /// Rename flags, as renameat2(2) has them.
  static constexpr uint32_t kRenameNoReplace = 1 << 0;
  static constexpr uint32_t kRenameExchange = 1 << 1;
  static constexpr uint32_t kRenameWhiteout = 1 << 2;

  /// The flags of fallocate(2) that are supported.
  static constexpr uint32_t kKeepSize = 1 << 0;
  static constexpr uint32_t kPunchHole = 1 << 1;
  static constexpr uint32_t kZeroRange = 1 << 4;

  FileSystem(const Image& image, BlockStore& store, MemoryBudget& budget, const Clock& clock,
             FileSystemOptions options);
  ~FileSystem();

  /// Completes committed intents, rebuilds every index (the store's and the pool's too), frees what has no owner, and
  /// makes the root of a fresh image. Requests that were read but not answered are the transport's to finish, after
  /// this. Throws std::runtime_error if the image contradicts itself.
  void attach();

  // Names. `name` is what the kernel sent, not checked: ENAMETOOLONG, EINVAL ("" and names with '/'), ENOENT, ENOTDIR,
  // ESTALE (no such inode). The Attr returned by the first seven counts as one lookup.
  Result<Attr> lookup(Operation& op, uint64_t parent, std::string_view name);
  /// An existing file is EEXIST.
  Result<Attr> mknod(Operation& op, uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev);
  /// open(2) with O_CREAT: an existing file is looked up, or EEXIST if `exclusive`.
  Result<Attr> create(Operation& op, uint64_t parent, std::string_view name, uint32_t mode, bool exclusive);
  /// open(2) with O_TMPFILE: a file without a name, which lives as long as its lookup, or until link() names it.
  Result<Attr> tmpfile(Operation& op, uint64_t parent, uint32_t mode);
  Result<Attr> mkdir(Operation& op, uint64_t parent, std::string_view name, uint32_t mode);
  Result<Attr> symlink(Operation& op, uint64_t parent, std::string_view name, std::string_view target);
  Result<Attr> link(Operation& op, uint64_t ino, uint64_t parent, std::string_view name);
  Result<void> unlink(Operation& op, uint64_t parent, std::string_view name);
  Result<void> rmdir(Operation& op, uint64_t parent, std::string_view name);
  Result<void> rename(Operation& op, uint64_t parent, std::string_view name, uint64_t new_parent,
                      std::string_view new_name, uint32_t flags);

  // Inodes.
  Result<Attr> getattr(uint64_t ino);
  /// access(2): EACCES unless the caller may do all of `mask` (R_OK, W_OK, X_OK). Root may, but for executing a file
  /// that nobody may execute. Asked only on mounts that root alone may enter; elsewhere the kernel checks.
  Result<void> access(uint64_t ino, const Caller& caller, uint32_t mask);
  Result<Attr> setattr(Operation& op, uint64_t ino, const SetAttr& change);
  /// FS_*_FL of linux/fs.h that chattr(1) has set: immutable, append-only, nodump, noatime. Setting others is
  /// EOPNOTSUPP.
  Result<uint32_t> inode_flags(uint64_t ino);
  Result<void> set_inode_flags(Operation& op, uint64_t ino, uint32_t flags);
  Result<std::string> readlink(uint64_t ino);
  Result<size_t> read(uint64_t ino, uint64_t offset, std::span<std::byte> target);
  /// Fewer bytes than asked when the memory cap is reached in the middle; EFBIG past the largest offset.
  Result<size_t> write(Operation& op, uint64_t ino, uint64_t offset, std::span<const std::byte> data,
                       WriteKind kind = {});

  // Ranges of a regular file (EISDIR, EINVAL for others; ESTALE). EFBIG past the largest offset.

  /// fallocate(2); EOPNOTSUPP for other flags. What is allocated can be written until it is punched
  /// or cut, whatever else meets the cap: ENOSPC, with nothing changed, if that cannot be promised.
  Result<void> fallocate(Operation& op, uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length);
  /// lseek(2) for contents or for a hole; blocks are one or the other up to the page of their last byte. ENXIO behind
  /// the end, and when there are no more contents.
  Result<uint64_t> seek_data(uint64_t ino, uint64_t offset);
  Result<uint64_t> seek_hole(uint64_t ino, uint64_t offset);
  /// copy_file_range(2); how many bytes were copied: fewer than asked at the end of the source and, as for write(), at
  /// the cap. EINVAL if the ranges overlap.
  struct CopyRange {
    uint64_t from_ino;
    uint64_t from_offset;
    uint64_t to_ino;
    uint64_t to_offset;
    uint64_t length;
  };
  Result<size_t> copy_file_range(Operation& op, const CopyRange& range);

  /// Drops lookups; counts items done in the operation's outcome, and starts behind those done before a crash.
  void forget(Operation& op, std::span<const Forget> items);

  // Extended attributes, with the names that tmpfs has: user, trusted and security, and POSIX ACLs if there are any.
  // EOPNOTSUPP for other names, EINVAL for a prefix alone, ERANGE for more than kXattrNameMax bytes. That the caller
  // may is the kernel's affair, as elsewhere.
  /// E2BIG, EEXIST, ENODATA; ENOSPC beyond kXattrsMax, too. ACLs: EINVAL, EACCES, EOPNOTSUPP.
  Result<void> set_xattr(Operation& op, uint64_t ino, const XattrAssignment& what);
  Result<void> remove_xattr(Operation& op, uint64_t ino, std::string_view name);
  /// The length of the value, which is copied to `target` unless that is empty. ENODATA; ERANGE if it does not fit.
  Result<size_t> get_xattr(uint64_t ino, std::string_view name, std::span<std::byte> target);
  /// The same with all names, a NUL behind each. trusted.* is root's to see.
  Result<size_t> list_xattrs(uint64_t ino, const Caller& caller, std::span<std::byte> target);

  // Directories. A cookie of 0 starts at the beginning; "." and ".." come first. Entries that are not changed meanwhile
  // are told exactly once. The visitor returns false when it has no room for the entry.
  Result<void> readdir(uint64_t ino, uint64_t cookie, const std::function<bool(const DirectoryEntry&)>& visit);
  /// The same with attributes; append() returns the bytes it used, 0 when there is no room. Each entry but "." and ".."
  /// counts as one lookup, recorded together with the bytes appended so far. Returns the bytes in all.
  Result<size_t> readdirplus(Operation& op, uint64_t ino, uint64_t cookie,
                             const std::function<size_t(const DirectoryEntry&, const Attr&)>& append);

  FileSystemUsage usage() const;
  uint64_t files() const;
  uint64_t directories() const;
  /// Memory of the tables of inodes and names.
  Bytes metadata_bytes() const;
  /// Pages written through shared mappings for which there was no memory any more.
  uint64_t write_back_failures() const { return write_back_failures_.load(std::memory_order_relaxed); }

  /// Frees contents of removed or truncated files that were too large to be freed by the request itself, one bounded
  /// step per call. False when there is nothing to do. Background work.
  bool purge_step();
  /// Runs work on the store that an audit must not meet.
  size_t run_unfrozen(const std::function<size_t()>& work) {
    const ReaderLock frozen(freeze_);
    return work();
  }
  /// The same for a thread that must not wait for an audit: nothing is run, and 0 returned, while one looks.
  size_t try_run_unfrozen(const std::function<size_t()>& work) {
    if (!freeze_.try_lock_shared()) return 0;
    const size_t result = work();
    freeze_.unlock_shared();
    return result;
  }
  /// Called without locks when there is no room for about so many bytes more; true if it made some: then the operation
  /// is tried once more. Set before threads run.
  void set_on_full(std::function<bool(Bytes)> on_full) { on_full_ = std::move(on_full); }
  /// Called, perhaps with an inode locked, when there is something for purge_step() to do.
  void set_on_purge(std::function<void()> on_purge);
  /// Called, with the inode locked, when purge_step() has freed the last of what lay behind the end of a file:
  /// st_blocks was still more when the cut was answered. Set before threads run.
  void set_on_cut(std::function<void(BlockStore::OwnerId)> on_cut);
  /// The inode number that owns an inode table record now, 0 if none: for the store's on_sealed callback.
  uint64_t ino_of(BlockStore::OwnerId owner) const;

  /// Stops the tree, checks every invariant of fs, store and pool; empty if all hold, else a sentence per breach.
  std::vector<std::string> audit();
  /// For an image that outlives its connection: drops all lookups and frees what only they kept alive; what is large
  /// is left to purge_step(). Inode numbers go on, none comes back. Idempotent: called once more after a kill in the
  /// midst, it does the rest. Not while operations run; background work may.
  void end_connection();

 private:
  // A name looked up: the entry's number and the inode it names.
  struct Found {
    uint32_t name_id;
    uint64_t ino;
    uint32_t type;
  };
  // What a new inode is to be.
  struct NewInode {
    uint32_t mode;
    uint32_t rdev = 0;
    std::string_view symlink_target{};
  };
  // What happens to a directory in a transaction: so many entries and subdirectories more or fewer.
  struct DirectoryChange {
    uint64_t ino;
    int entries;
    int subdirectories;
    bool new_cookie;
  };
  struct RenameArguments {
    uint64_t parent;
    std::string_view name;
    uint64_t new_parent;
    std::string_view new_name;
    uint32_t flags;
  };

  // What a name and its inode may take from the budget: a page of each table, and one of the index.
  static constexpr Bytes kRecordsRoom = 4 * kPageSize;
  // Runs `attempt`, and once more if it found no room and some could be made. It changes nothing when it fails so.
  template <class Attempt>
  auto with_room(Bytes bytes, Attempt&& attempt) -> decltype(attempt()) {
    auto result = attempt();
    if (result || result.error() != std::errc::no_space_on_device) return result;
    return on_full_ && on_full_(bytes) ? attempt() : result;
  }

  // filesystem.cc: records and their parts
  InodeRecord* find_inode(uint64_t ino) const REQUIRES(inode_locks_);
  Result<InodeRecord*> find_directory(uint64_t ino) const REQUIRES(inode_locks_);
  Result<InodeRecord*> find_regular(uint64_t ino) const REQUIRES(inode_locks_);
  DirectoryIndex* index_of(uint64_t ino) const REQUIRES(inode_locks_);
  Result<Found> find_name(uint64_t parent, std::string_view name) const REQUIRES(inode_locks_);
  Result<Found> peek_name(uint64_t parent, std::string_view name) EXCLUDES(inode_locks_);
  Attr attr_of(uint64_t ino, const InodeRecord& inode) const REQUIRES(inode_locks_);
  Time now() const;
  // mtime and ctime: of changed contents.
  void set_times(Transaction& transaction, InodeRecord& inode, const Time& time) const REQUIRES(inode_locks_);
  void set_ctime(Transaction& transaction, InodeRecord& inode, const Time& time) const REQUIRES(inode_locks_);
  void change_directory(Transaction& transaction, const DirectoryChange& change, const Time& time)
      REQUIRES(inode_locks_);
  // The mode that a change of contents or owner by the caller leaves: without suid, and without sgid where that lends
  // the group's rights or is not the caller's to lend (fs/attr.c, setattr_should_drop_suidgid).
  static uint32_t unprivileged_mode(const InodeRecord& inode, const Caller& caller);
  // What the mode lets the caller do: a sum of R_OK, W_OK, X_OK.
  static uint32_t permitted(const InodeRecord& inode, const Caller& caller);
  // For requests that do not tell whether the caller may keep them: root may.
  void drop_privileges(Transaction& transaction, InodeRecord& inode, const Caller& caller) const REQUIRES(inode_locks_);

  // namespace.cc: names that come
  Result<Attr> make_inode(Operation& op, uint64_t parent, std::string_view name, const NewInode& what);
  Result<Attr> try_make_inode(Operation& op, uint64_t parent, std::string_view name, const NewInode& what);
  Result<Attr> try_tmpfile(Operation& op, uint64_t parent, uint32_t mode);
  Result<Attr> try_link(Operation& op, uint64_t ino, uint64_t parent, std::string_view name);
  Result<uint32_t> allocate_inode(const InodeRecord& parent, const Caller& caller, const NewInode& what,
                                  uint64_t parent_ino) REQUIRES(inode_locks_);
  uint32_t begin_record(Admission admission);
  void publish_inode(Transaction& transaction, InodeRecord& inode) REQUIRES(inode_locks_);
  void discard_inode(uint32_t index);
  Result<Attr> count_lookup(Operation& op, uint64_t ino) REQUIRES(inode_locks_);
  Result<Attr> lookup_self(Operation& op, uint64_t ino);

  // xattrs.cc
  Result<uint32_t> xattr_kind(std::string_view name) const;
  Result<XattrBlob> read_xattrs(const InodeRecord& inode) const REQUIRES(inode_locks_);
  Result<uint32_t> write_xattrs(uint64_t ino, const XattrBlob& blob, Admission admission);
  Result<void> change_xattrs(Operation& op, uint64_t ino, const XattrBlob& blob, uint32_t mode) REQUIRES(inode_locks_);
  Result<void> try_set_xattr(Operation& op, uint64_t ino, const XattrAssignment& what, uint32_t kind);
  Result<void> try_remove_xattr(Operation& op, uint64_t ino, std::string_view name, uint32_t kind);
  Result<uint32_t> set_acl(XattrBlob& blob, const InodeRecord& inode, const Caller& caller,
                           const XattrAssignment& what) const REQUIRES(inode_locks_);
  Result<void> inherit_acl(const InodeRecord& parent, const Caller& caller, uint64_t ino, InodeRecord& inode)
      REQUIRES(inode_locks_);
  void drop_capability(Transaction& transaction, InodeRecord& inode) const REQUIRES(inode_locks_);
  bool has_owner(uint32_t auxiliary) const;
  bool owns_xattrs(uint64_t ino, const InodeRecord& inode) const;
  void audit_xattrs(uint64_t ino, const InodeRecord& inode, std::vector<std::string>& breaches) const
      REQUIRES(inode_locks_);

  // inode_flags.cc: EPERM for what they forbid
  static Result<void> may_add_name(const InodeRecord& directory);
  static Result<void> may_remove_name(const InodeRecord& directory, const InodeRecord& victim);
  static bool may_write_at(const InodeRecord& inode, uint64_t offset);
  static Result<void> may_set_attributes(const InodeRecord& inode, const SetAttr& change);

  // file_io.cc
  enum class Full { kIsAnError, kCutsTheWrite };
  struct WriteArguments {
    uint64_t ino;
    uint64_t offset;
    WriteKind kind;
  };
  void note_write_back_failure(uint64_t ino);
  void drop_behind_end(uint32_t index, uint64_t size);
  Result<size_t> write_rest(Operation& op, const WriteArguments& arguments, std::span<const std::byte> data,
                            size_t& done, Full full);

  // space.cc
  Result<void> try_fallocate(Operation& op, uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length);
  Result<void> may_fallocate(uint64_t ino, uint32_t flags) EXCLUDES(inode_locks_);
  Result<void> clear_range(uint64_t ino, uint64_t offset, uint64_t end, BlockStore::Reservation reservation)
      EXCLUDES(inode_locks_);
  Result<size_t> copy_step(Operation& op, const CopyRange& range, uint64_t done);

  // removal.cc: names that go, and what goes with them
  bool drop_link(Transaction& transaction, InodeRecord& inode, const Time& time) REQUIRES(inode_locks_);
  Result<void> remove(Operation& op, uint64_t parent, std::string_view name, bool is_rmdir);
  void erase_name(uint64_t parent, uint32_t name_id) REQUIRES(inode_locks_);
  void reap(uint64_t ino) EXCLUDES(inode_locks_);
  bool frees_at_once() const;
  bool is_dead(uint64_t ino) const REQUIRES(inode_locks_);
  void free_inode(uint32_t index);
  void queue_purge(uint64_t ino);
  bool truncate_step(uint64_t ino, InodeRecord& inode) REQUIRES(inode_locks_);

  // rename.cc
  Result<void> check_rename(const RenameArguments& arguments, const Found& source, const Found* target) const
      REQUIRES(inode_locks_);
  bool is_ancestor(uint64_t ancestor, uint64_t ino) const;
  Result<void> rename_locked(Operation& op, const RenameArguments& arguments, const Found& source, const Found* target)
      REQUIRES(inode_locks_);
  Result<void> try_rename(Operation& op, const RenameArguments& arguments);
  Result<void> move_name(Operation& op, const RenameArguments& arguments, const Found& source) REQUIRES(inode_locks_);
  Result<void> replace_name(Operation& op, const RenameArguments& arguments, const Found& source, const Found& target)
      REQUIRES(inode_locks_);
  Result<uint32_t> allocate_whiteout(const Operation& op, const RenameArguments& arguments) REQUIRES(inode_locks_);
  void leave_source(Transaction& transaction, const Found& source, uint32_t whiteout) REQUIRES(inode_locks_);
  void exchange_names(Operation& op, const RenameArguments& arguments, const Found& source, const Found& target)
      REQUIRES(inode_locks_);

  // readdir.cc
  std::optional<DirectoryEntry> next_entry(uint64_t ino, const InodeRecord& directory, uint64_t cookie) const
      REQUIRES(inode_locks_);

  // recovery.cc
  struct AttachTally;
  void complete_intents();
  void attach_inodes();
  void attach_names(AttachTally& tally) REQUIRES(inode_locks_);
  void make_root() REQUIRES(inode_locks_);
  void check_inode(uint32_t index, const AttachTally& tally) const REQUIRES(inode_locks_);
  void clean_up(const AttachTally& tally) REQUIRES(inode_locks_);

  // audit.cc
  struct AuditTotals;
  void audit_inode(uint64_t ino, const InodeRecord& inode, AuditTotals& totals) const REQUIRES(inode_locks_);
  void audit_names(AuditTotals& totals) const REQUIRES(inode_locks_);

  const Image& image_;
  BlockStore& store_;
  const Clock& clock_;
  const FileSystemOptions options_;
  MemoryBudget& budget_;

  mutable SharedMutex freeze_;  // shared: every operation; exclusive: audit
  Mutex tree_mutex_;            // who is whose ancestor: held while a directory changes its parent
  mutable InodeLockTable inode_locks_;
  DurableTable<InodeRecord> inodes_;
  std::atomic<uint64_t> auxiliaries_ = 0;  // records of inodes_ that are no inodes
  NameTable names_;

  mutable SharedMutex directories_mutex_;  // the map only; an index is covered by its directory's inode lock
  boost::unordered_flat_map<uint32_t, std::unique_ptr<DirectoryIndex>> directories_ GUARDED_BY(directories_mutex_);

  std::atomic<uint64_t> write_back_failures_ = 0;

  Mutex purge_mutex_;
  std::deque<uint64_t> purge_queue_ GUARDED_BY(purge_mutex_);  // inode numbers
  std::function<void()> on_purge_;
  std::function<void(BlockStore::OwnerId)> on_cut_;  // constant once threads run
  std::function<bool(Bytes)> on_full_;               // constant once threads run
};

}  // namespace ztmpfs
