#pragma once

#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <system_error>

#include "fs/attr.h"
#include "fs/filesystem.h"

namespace ztmpfs {

/// Seconds for which the kernel may keep what it was told: nothing changes behind its back.
inline constexpr double kForever = 1e9;

inline int to_errno(std::errc error) { return static_cast<int>(error); }

struct stat to_stat(const Attr& attr);
/// All that statx(2) can tell but the device, which is the kernel's.
struct statx to_statx(const Attr& attr);
/// The node id is the inode number; numbers are never reused, so the generation stays 0.
fuse_entry_param to_entry(const Attr& attr);
/// "There is no such name", which the kernel may remember.
fuse_entry_param to_negative_entry();
/// `fields` are FUSE_SET_ATTR_* bits; those we do not negotiate are ignored.
SetAttr to_set_attr(const struct stat& values, int fields);
struct statvfs to_statvfs(const FileSystemUsage& usage);

}  // namespace ztmpfs
