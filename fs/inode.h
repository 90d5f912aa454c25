#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "fs/attr.h"

namespace ztmpfs {

/// One inode. Durable (region kInodes); its record number is the low half of the inode number and the owner of its
/// blocks in the store. Covered by the inode's lock; changed through transactions, but for `state` of a dead one.
struct InodeRecord {
  enum State : uint32_t {
    kFree = 0,
    kUsed = 1,
    kDead = 2,  ///< neither links nor lookups; waits until its contents are freed
  };
  enum Flags : uint32_t {
    kTruncating = 1 << 0,  ///< there may be blocks behind `size` that are still to be freed
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
  uint64_t parent;       ///< directories: the inode number of the one they are in
  uint64_t next_cookie;  ///< directories: for the next entry
  int64_t atime_seconds;
  int64_t mtime_seconds;
  int64_t ctime_seconds;
  int64_t btime_seconds;
  uint32_t atime_nanoseconds;
  uint32_t mtime_nanoseconds;
  uint32_t ctime_nanoseconds;
  uint32_t btime_nanoseconds;
  uint64_t reserved[2];

  bool is_directory() const { return S_ISDIR(mode); }
  bool is_regular() const { return S_ISREG(mode); }
  bool is_symlink() const { return S_ISLNK(mode); }
};
static_assert(sizeof(InodeRecord) == 128);

/// Inode numbers: never the same one twice, and the record is found without an index.
inline uint64_t make_ino(uint32_t index, uint32_t uses) { return uint64_t(uses - 1) << 32 | index; }
inline uint32_t ino_index(uint64_t ino) { return uint32_t(ino); }

}  // namespace ztmpfs
