#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/durable_store.h"
#include "fs/attr.h"

namespace ztmpfs {

/// One inode. Durable (region kInodes); its record number is the low half of the inode number and the owner of its
/// blocks in the store. Covered by the inode's lock; changed through transactions, but for `state` of a dead one.
struct InodeRecord {
  enum State : uint32_t {
    kFree = 0,
    kUsed = 1,
    kDead = 2,  ///< neither links nor lookups; waits until its contents are freed
    /// No inode: its contents are the xattrs of the inode `parent`, whose lock covers it. No number finds it.
    kAuxiliary = 3,
  };
  enum Flags : uint32_t {
    kTruncating = 1 << 0,  ///< there may be blocks behind `size` that are still to be freed
    // What chattr(1) sets.
    kImmutable = 1 << 1,
    kAppendOnly = 1 << 2,
    kNoDump = 1 << 3,
    kNoAtime = 1 << 4,
  };
  static constexpr uint32_t kInheritedFlags = kNoDump | kNoAtime;
  /// Xattrs that mean something to us. One whose bit is not set is not there, whatever the contents say.
  enum XattrKinds : uint32_t {
    kCapability = 1 << 0,  ///< security.capability
    /// What it says of owner, mask and others is what `mode` says.
    kAccessAcl = 1 << 1,
    kDefaultAcl = 1 << 2,
  };

  uint32_t state;
  uint32_t uses;  ///< how often the record was used, this time included: the high half of the inode number, plus one
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t rdev;
  uint32_t flags;
  uint64_t size;  ///< of directories: as tmpfs counts it, 20 bytes per entry
  uint64_t lookups;
  uint64_t parent;       ///< directories: the inode number of the one they are in; auxiliary: of the one it belongs to
  uint64_t next_cookie;  ///< directories: for the next entry
  int64_t atime_seconds;
  int64_t mtime_seconds;
  int64_t ctime_seconds;
  int64_t btime_seconds;
  uint32_t atime_nanoseconds;
  uint32_t mtime_nanoseconds;
  uint32_t ctime_nanoseconds;
  uint32_t btime_nanoseconds;
  uint32_t xattrs;       ///< number of the auxiliary record that holds them, 0: none
  uint32_t xattr_kinds;  ///< which of XattrKinds there are
  uint64_t reserved;

  /// The number of the inode that the record is while in `wanted`, 0 in another state. A reader that knows the record
  /// from an earlier life may meet the next one being written, under its parent's lock only: hence atomic, state first.
  uint64_t ino_if(State wanted, uint32_t index);

  /// Clears a free record for its next life. `state` stays kFree, and `uses` is never less than it was: after a crash
  /// an old number would come back.
  void begin_life(uint32_t new_uses);

  bool is_immutable() const { return (flags & kImmutable) != 0; }
  bool is_append_only() const { return (flags & kAppendOnly) != 0; }
  /// Its name, owner, mode, times, xattrs and contents so far stay as they are.
  bool is_protected() const { return (flags & (kImmutable | kAppendOnly)) != 0; }
  bool is_directory() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  bool is_symlink() const { return S_ISLNK(mode); }
  /// Also after it has died, and before it was published.
  bool is_auxiliary() const { return mode == 0; }
};
static_assert(sizeof(InodeRecord) == 128);

/// Inode numbers: never the same one twice, and the record is found without an index.
inline uint64_t make_ino(uint32_t index, uint32_t uses) { return uint64_t(uses - 1) << 32 | index; }
inline uint32_t ino_index(uint64_t ino) { return uint32_t(ino); }

inline uint64_t InodeRecord::ino_if(State wanted, uint32_t index) {
  if (std::atomic_ref(state).load(std::memory_order_acquire) != wanted) return 0;
  return make_ino(index, std::atomic_ref(uses).load(std::memory_order_relaxed));
}

inline void InodeRecord::begin_life(uint32_t new_uses) {
  durable_store(uses, new_uses);
  kill_point();
  constexpr size_t kIdentity = offsetof(InodeRecord, mode);
  std::memset(reinterpret_cast<std::byte*>(this) + kIdentity, 0, sizeof(InodeRecord) - kIdentity);
}

}  // namespace ztmpfs
