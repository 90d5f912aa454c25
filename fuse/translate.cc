#include "fuse/translate.h"

#include <sys/sysmacros.h>

namespace ztmpfs {

namespace {

timespec to_timespec(const Time& time) { return {.tv_sec = time.seconds, .tv_nsec = long(time.nanoseconds)}; }

statx_timestamp to_timestamp(const Time& time) {
  statx_timestamp timestamp{};
  timestamp.tv_sec = time.seconds;
  timestamp.tv_nsec = time.nanoseconds;
  return timestamp;
}

Time to_time(const timespec& time) {
  return {.seconds = time.tv_sec, .nanoseconds = uint32_t(time.tv_nsec), .unused = 0};
}

}  // namespace

struct stat to_stat(const Attr& attr) {
  struct stat status{};
  status.st_ino = attr.ino;
  status.st_mode = attr.mode;
  status.st_nlink = attr.nlink;
  status.st_uid = attr.uid;
  status.st_gid = attr.gid;
  status.st_rdev = attr.rdev;
  status.st_size = off_t(attr.size);
  status.st_blocks = blkcnt_t(attr.blocks);
  status.st_blksize = blksize_t(attr.block_size);
  status.st_atim = to_timespec(attr.atime);
  status.st_mtim = to_timespec(attr.mtime);
  status.st_ctim = to_timespec(attr.ctime);
  return status;
}

struct statx to_statx(const Attr& attr) {
  struct statx status{};
  status.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
  status.stx_blksize = attr.block_size;
  status.stx_nlink = attr.nlink;
  status.stx_uid = attr.uid;
  status.stx_gid = attr.gid;
  status.stx_mode = uint16_t(attr.mode);
  status.stx_ino = attr.ino;
  status.stx_size = attr.size;
  status.stx_blocks = attr.blocks;
  status.stx_atime = to_timestamp(attr.atime);
  status.stx_btime = to_timestamp(attr.btime);
  status.stx_ctime = to_timestamp(attr.ctime);
  status.stx_mtime = to_timestamp(attr.mtime);
  status.stx_rdev_major = gnu_dev_major(attr.rdev);
  status.stx_rdev_minor = gnu_dev_minor(attr.rdev);
  return status;
}

fuse_entry_param to_entry(const Attr& attr) {
  fuse_entry_param entry{};
  entry.ino = attr.ino;
  entry.attr = to_stat(attr);
  entry.attr_timeout = kForever;
  entry.entry_timeout = kForever;
  return entry;
}

fuse_entry_param to_negative_entry() {
  fuse_entry_param entry{};
  entry.entry_timeout = kForever;
  return entry;
}

SetAttr to_set_attr(const struct stat& values, int fields) {
  static constexpr struct {
    int from;
    SetAttr::Field to;
  } kFields[] = {
      {FUSE_SET_ATTR_MODE, SetAttr::kMode},
      {FUSE_SET_ATTR_UID, SetAttr::kUid},
      {FUSE_SET_ATTR_GID, SetAttr::kGid},
      {FUSE_SET_ATTR_SIZE, SetAttr::kSize},
      {FUSE_SET_ATTR_ATIME, SetAttr::kAtime},
      {FUSE_SET_ATTR_MTIME, SetAttr::kMtime},
      {FUSE_SET_ATTR_ATIME_NOW, SetAttr::kAtimeNow},
      {FUSE_SET_ATTR_MTIME_NOW, SetAttr::kMtimeNow},
      {FUSE_SET_ATTR_CTIME, SetAttr::kCtime},
  };
  SetAttr change;
  for (const auto& field : kFields)
    if ((fields & field.from) != 0) change.fields |= field.to;
  change.mode = values.st_mode;
  change.uid = values.st_uid;
  change.gid = values.st_gid;
  change.size = uint64_t(values.st_size);
  change.atime = to_time(values.st_atim);
  change.mtime = to_time(values.st_mtim);
  change.ctime = to_time(values.st_ctim);
  return change;
}

struct statvfs to_statvfs(const FileSystemUsage& usage) {
  struct statvfs status{};
  status.f_bsize = usage.block_size;
  status.f_frsize = usage.block_size;
  status.f_blocks = usage.total / usage.block_size;
  status.f_bfree = usage.free / usage.block_size;
  status.f_bavail = usage.available / usage.block_size;
  status.f_files = usage.files + usage.files_free;
  status.f_ffree = usage.files_free;
  status.f_favail = usage.files_free;
  status.f_namemax = FileSystem::kNameMax;
  return status;
}

}  // namespace ztmpfs
