#pragma once

#include <cstdint>

namespace ztmpfs {

/// A point in time as POSIX keeps it. Flat, for durable records.
struct Time {
  int64_t seconds;
  uint32_t nanoseconds;
  uint32_t unused;

  friend auto operator<=>(const Time&, const Time&) = default;
};

/// What stat(2) tells of an inode. Flat: it is part of the recorded outcome of a request.
struct Attr {
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;  ///< units of 512 bytes: memory that the contents really take
  Time atime;
  Time mtime;
  Time ctime;
  Time btime;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t rdev;  ///< as the kernel's new_encode_dev() packs it
  uint32_t block_size;
};

/// Which fields of an inode setattr() is to change. Times that are "now" are taken from the clock.
struct SetAttr {
  enum Field : uint32_t {
    kMode = 1 << 0,
    kUid = 1 << 1,
    kGid = 1 << 2,
    kSize = 1 << 3,
    kAtime = 1 << 4,
    kMtime = 1 << 5,
    kAtimeNow = 1 << 6,
    kMtimeNow = 1 << 7,
    kCtime = 1 << 8,
    kDropPrivileges = 1 << 9,           ///< suid, and sgid as drop_privileges() has it; not of directories
    kDropPrivilegesAsWriter = 1 << 10,  ///< the same, if the caller owns the file or may write to it
    kByDescriptor = 1 << 11,            ///< ftruncate(2), not truncate(2) or open(2)
  };
  uint32_t fields = 0;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  Time atime{};
  Time mtime{};
  Time ctime{};
};

}  // namespace ztmpfs
