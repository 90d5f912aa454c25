#include "fuse/opcodes.h"

#include <linux/fuse.h>

#include <array>

namespace ztmpfs {

namespace {

using Table = std::array<OpcodeInfo, kOpcodeCount>;

constexpr OpcodeInfo served(std::string_view name, size_t fixed_size = 0, uint8_t names = 0) {
  return {.name = name, .served = true, .answered = true, .fixed_size = uint16_t(fixed_size), .names = names};
}

constexpr OpcodeInfo xattr(std::string_view name, size_t fixed_size, uint8_t names) {
  OpcodeInfo info = served(name, fixed_size, names);
  info.is_xattr = true;
  return info;
}

constexpr OpcodeInfo unanswered(std::string_view name, size_t fixed_size) {
  return {.name = name, .served = true, .answered = false, .fixed_size = uint16_t(fixed_size), .names = 0};
}

// ENOSYS once and the kernel does without: OPEN and OPENDIR (no handles to restore), FLUSH and FSYNC (nothing to do),
// xattrs unless asked for (else one GETXATTR per write), INTERRUPT (no request waits for anything), locks (the kernel's
// own).
constexpr OpcodeInfo refused(std::string_view name) { return {.name = name}; }

// linux/fuse.h of protocol 7.39.
constexpr size_t kStatx = 52;
constexpr size_t kStatxArgument = 24;

constexpr Table make_table() {
  Table table{};
  table[FUSE_LOOKUP] = served("LOOKUP", 0, 1);
  table[FUSE_FORGET] = unanswered("FORGET", sizeof(fuse_forget_in));
  table[FUSE_GETATTR] = served("GETATTR", sizeof(fuse_getattr_in));
  table[FUSE_SETATTR] = served("SETATTR", sizeof(fuse_setattr_in));
  table[FUSE_READLINK] = served("READLINK");
  table[FUSE_SYMLINK] = served("SYMLINK", 0, 2);
  table[FUSE_MKNOD] = served("MKNOD", sizeof(fuse_mknod_in), 1);
  table[FUSE_MKDIR] = served("MKDIR", sizeof(fuse_mkdir_in), 1);
  table[FUSE_UNLINK] = served("UNLINK", 0, 1);
  table[FUSE_RMDIR] = served("RMDIR", 0, 1);
  table[FUSE_RENAME] = served("RENAME", sizeof(fuse_rename_in), 2);
  table[FUSE_LINK] = served("LINK", sizeof(fuse_link_in), 1);
  table[FUSE_OPEN] = refused("OPEN");
  table[FUSE_READ] = served("READ", sizeof(fuse_read_in));
  table[FUSE_WRITE] = served("WRITE", sizeof(fuse_write_in));
  table[FUSE_STATFS] = served("STATFS");
  // The first CREATE comes before the first OPEN, so its file is released.
  table[FUSE_RELEASE] = served("RELEASE", sizeof(fuse_release_in));
  table[FUSE_FSYNC] = refused("FSYNC");
  table[FUSE_SETXATTR] = xattr("SETXATTR", FUSE_COMPAT_SETXATTR_IN_SIZE, 1);
  table[FUSE_GETXATTR] = xattr("GETXATTR", sizeof(fuse_getxattr_in), 1);
  table[FUSE_LISTXATTR] = xattr("LISTXATTR", sizeof(fuse_getxattr_in), 0);
  table[FUSE_REMOVEXATTR] = xattr("REMOVEXATTR", 0, 1);
  table[FUSE_FLUSH] = refused("FLUSH");
  table[FUSE_INIT] = served("INIT", 4 * sizeof(uint32_t));
  table[FUSE_OPENDIR] = refused("OPENDIR");
  table[FUSE_READDIR] = served("READDIR", sizeof(fuse_read_in));
  table[FUSE_RELEASEDIR] = served("RELEASEDIR", sizeof(fuse_release_in));
  table[FUSE_FSYNCDIR] = refused("FSYNCDIR");
  table[FUSE_GETLK] = refused("GETLK");
  table[FUSE_SETLK] = refused("SETLK");
  table[FUSE_SETLKW] = refused("SETLKW");
  table[FUSE_ACCESS] = served("ACCESS", sizeof(fuse_access_in));
  table[FUSE_CREATE] = served("CREATE", sizeof(fuse_create_in), 1);
  table[FUSE_INTERRUPT] = refused("INTERRUPT");
  table[FUSE_BMAP] = refused("BMAP");
  table[FUSE_DESTROY] = served("DESTROY");
  table[FUSE_IOCTL] = served("IOCTL", sizeof(fuse_ioctl_in));
  table[FUSE_POLL] = refused("POLL");
  table[FUSE_NOTIFY_REPLY] = {.name = "NOTIFY_REPLY", .served = false, .answered = false};
  table[FUSE_BATCH_FORGET] = unanswered("BATCH_FORGET", sizeof(fuse_batch_forget_in));
  table[FUSE_FALLOCATE] = served("FALLOCATE", sizeof(fuse_fallocate_in));
  table[FUSE_READDIRPLUS] = served("READDIRPLUS", sizeof(fuse_read_in));
  table[FUSE_RENAME2] = served("RENAME2", sizeof(fuse_rename2_in), 2);
  table[FUSE_LSEEK] = served("LSEEK", sizeof(fuse_lseek_in));
  table[FUSE_COPY_FILE_RANGE] = served("COPY_FILE_RANGE", sizeof(fuse_copy_file_range_in));
  table[FUSE_SETUPMAPPING] = refused("SETUPMAPPING");
  table[FUSE_REMOVEMAPPING] = refused("REMOVEMAPPING");
  table[FUSE_SYNCFS] = refused("SYNCFS");
  // The name is a placeholder. libfuse 3.14 does not know it, and answers with ENOSYS.
  table[FUSE_TMPFILE] = served("TMPFILE", sizeof(fuse_create_in), 1);
  table[kStatx] = served("STATX", kStatxArgument);  // as TMPFILE
  return table;
}

constexpr Table kTable = make_table();

}  // namespace

const OpcodeInfo* opcode_info(uint32_t opcode) {
  return opcode < kTable.size() && !kTable[opcode].name.empty() ? &kTable[opcode] : nullptr;
}

}  // namespace ztmpfs
