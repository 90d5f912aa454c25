#pragma once

#include <sys/stat.h>

#include <array>
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
  /// No two of them differ in one bit only: a damaged state is found.
  enum State : uint32_t {
    kFree = 0,
    kUsed = 3,
    kDead = 5,  ///< neither links nor lookups; waits until its contents are freed
    /// No inode: its contents are the xattrs of the inode `parent`, whose lock covers it. No number finds it.
    kAuxiliary = 6,
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
  static constexpr uint32_t kKnownFlags = kTruncating | kImmutable | kAppendOnly | kNoDump | kNoAtime;
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
  uint64_t parity;       ///< expected_parity() while the record is in use

  /// What `parity` has to be: any single bit that is damaged changes it. Changed together with the fields, by
  /// Operation::commit(). Left out is what changes by a store of its own, and is judged by what else it must agree
  /// with: `state` and kTruncating; and `lookups`, which nothing in the image tells a second time.
  uint64_t expected_parity() const;

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

inline uint64_t InodeRecord::expected_parity() const {
  constexpr auto field_mask = [](size_t offset, uint64_t bits) { return bits << offset % sizeof(uint64_t) * 8; };
  std::array<uint64_t, 16> words;
  std::memcpy(words.data(), this, sizeof(words));
  words[offsetof(InodeRecord, state) / 8] &= ~field_mask(offsetof(InodeRecord, state), ~0U);
  words[offsetof(InodeRecord, flags) / 8] &= ~field_mask(offsetof(InodeRecord, flags), kTruncating);
  words[offsetof(InodeRecord, lookups) / 8] = words[offsetof(InodeRecord, parity) / 8] = 0;
  uint64_t sum = 0;
  for (const uint64_t word : words) sum ^= word;
  return sum;
}

inline void InodeRecord::begin_life(uint32_t new_uses) {
  durable_store(uses, new_uses);
  kill_point();
  constexpr size_t kIdentity = offsetof(InodeRecord, mode);
  std::memset(reinterpret_cast<std::byte*>(this) + kIdentity, 0, sizeof(InodeRecord) - kIdentity);
}

}  // namespace ztmpfs
