#include "tests/crash/kill_requests.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/stat.h>

#include <array>
#include <random>

#include "tests/support/fake_caller.h"

namespace ztmpfs {

namespace {

std::vector<std::byte> operator+(std::vector<std::byte> bytes, std::string_view more) {
  const auto tail = std::as_bytes(std::span(more));
  bytes.insert(bytes.end(), tail.begin(), tail.end());
  return bytes;
}

}  // namespace

std::string text(size_t size, uint32_t seed) {
  std::string result(size, '\0');
  for (char& c : result) {
    seed = seed * 1'664'525 + 1'013'904'223;
    c = char('a' + (seed >> 28));
  }
  return result;
}

KillRequest names_request(uint32_t opcode, uint64_t nodeid, std::initializer_list<std::string_view> names) {
  return {opcode, nodeid, make_names(names)};
}

KillRequest mknod_request(uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev) {
  return {FUSE_MKNOD, parent,
          make_argument(fuse_mknod_in{.mode = mode, .rdev = rdev, .umask = 022, .padding = 0}, {name})};
}

KillRequest create_request(uint64_t parent, std::string_view name, uint32_t flags) {
  return {FUSE_CREATE, parent,
          make_argument(fuse_create_in{.flags = flags, .mode = S_IFREG | 0644, .umask = 022, .open_flags = 0}, {name})};
}

KillRequest mkdir_request(uint64_t parent, std::string_view name) {
  return {FUSE_MKDIR, parent, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 022}, {name})};
}

KillRequest rename_request(uint64_t parent, std::string_view name, uint64_t to, std::string_view new_name,
                           uint32_t flags) {
  return {FUSE_RENAME2, parent,
          make_argument(fuse_rename2_in{.newdir = to, .flags = flags, .padding = 0}, {name, new_name})};
}

KillRequest write_request(uint64_t ino, uint64_t offset, std::string_view data, uint32_t flags) {
  fuse_write_in argument{};
  argument.offset = offset;
  argument.size = uint32_t(data.size());
  argument.write_flags = flags;
  return {FUSE_WRITE, ino, make_argument(argument) + data};
}

KillRequest setattr_request(uint64_t ino, const fuse_setattr_in& change) {
  return {FUSE_SETATTR, ino, make_argument(change)};
}

KillRequest truncate_request(uint64_t ino, uint64_t size) {
  fuse_setattr_in change{};
  change.valid = FATTR_SIZE;
  change.size = size;
  return setattr_request(ino, change);
}

KillRequest fallocate_request(uint64_t ino, uint32_t mode, uint64_t offset, uint64_t length) {
  fuse_fallocate_in argument{};
  argument.offset = offset;
  argument.length = length;
  argument.mode = mode;
  return {FUSE_FALLOCATE, ino, make_argument(argument)};
}

KillRequest copy_request(uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length) {
  fuse_copy_file_range_in argument{};
  argument.off_in = from_offset;
  argument.nodeid_out = to;
  argument.off_out = to_offset;
  argument.len = length;
  return {FUSE_COPY_FILE_RANGE, from, make_argument(argument)};
}

KillRequest setxattr_request(uint64_t ino, std::string_view name, std::string_view value, uint32_t flags) {
  fuse_setxattr_in argument{};  // with FUSE_SETXATTR_EXT
  argument.size = uint32_t(value.size());
  argument.flags = flags;
  return {FUSE_SETXATTR, ino, make_argument(argument, {name}) + value};
}

KillRequest readdirplus_request(uint64_t ino, uint32_t size) {
  fuse_read_in argument{};
  argument.size = size;
  return {FUSE_READDIRPLUS, ino, make_argument(argument)};
}

KillRequest batch_forget_request(std::initializer_list<std::pair<uint64_t, uint64_t>> items) {
  auto argument = make_argument(fuse_batch_forget_in{.count = uint32_t(items.size()), .dummy = 0});
  for (const auto& [ino, lookups] : items) {
    const auto item = make_argument(fuse_forget_one{.nodeid = ino, .nlookup = lookups});
    argument.insert(argument.end(), item.begin(), item.end());
  }
  return {FUSE_BATCH_FORGET, 0, argument};
}

KillRequest set_flags_request(uint64_t ino, uint32_t flags) {
  fuse_ioctl_in argument{};
  argument.cmd = uint32_t(FS_IOC_SETFLAGS);
  argument.in_size = sizeof(flags);
  const auto bytes = make_argument(flags);
  auto all = make_argument(argument);
  all.insert(all.end(), bytes.begin(), bytes.end());
  return {FUSE_IOCTL, ino, all};
}

KillRequest tmpfile_request(uint64_t parent) {
  const fuse_create_in argument{.flags = O_TMPFILE | O_RDWR, .mode = S_IFREG | 0600, .umask = 022, .open_flags = 0};
  return {FUSE_TMPFILE, parent, make_argument(argument, {"/"})};
}

KillRequest link_request(uint64_t ino, uint64_t parent, std::string_view name) {
  return {FUSE_LINK, parent, make_argument(fuse_link_in{.oldnodeid = ino}, {name})};
}

std::string noise(size_t size) {
  std::mt19937 random(1);
  std::string result(size, '\0');
  for (char& c : result) c = char(random());
  return result;
}

// linux/posix_acl_xattr.h: tag, permissions, id.
std::string some_acl() {
  struct Entry {
    uint16_t tag;
    uint16_t permissions;
    uint32_t id;
  };
  constexpr std::array<Entry, 5> kEntries{
      {{0x01, 7, ~0U}, {0x02, 6, 77}, {0x04, 5, ~0U}, {0x10, 7, ~0U}, {0x20, 0, ~0U}}};
  const uint32_t version = 2;
  std::string value(reinterpret_cast<const char*>(&version), sizeof(version));
  return value.append(reinterpret_cast<const char*>(kEntries.data()), sizeof(kEntries));
}

}  // namespace ztmpfs
