#include "tests/support/fake_caller.h"

#include <fcntl.h>
#include <cstring>
#include <stdexcept>

namespace ztmpfs {

namespace {

template <class T>
Result<T> to_result(const FakeKernel::Reply& reply) {
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  T value;
  if (reply.body.size() < sizeof(T)) throw std::runtime_error("a reply is too short");
  std::memcpy(&value, reply.body.data(), sizeof(T));
  return value;
}

Result<void> to_result(const FakeKernel::Reply& reply) {
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  return {};
}

Result<fuse_attr> to_attr(const FakeKernel::Reply& reply) {
  const auto result = to_result<fuse_attr_out>(reply);
  if (!result) return fail(result.error());
  return result->attr;
}

fuse_read_in read_argument(uint64_t offset, uint32_t size) {
  fuse_read_in argument{};
  argument.offset = offset;
  argument.size = size;
  return argument;
}

constexpr fuse_getxattr_in kXattrRoom{.size = 65536, .padding = 0};

Result<std::string> to_text(const FakeKernel::Reply& reply) {
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  return std::string(reinterpret_cast<const char*>(reply.body.data()), reply.body.size());
}

}  // namespace

std::vector<std::byte> make_names(std::initializer_list<std::string_view> names) {
  std::vector<std::byte> bytes;
  for (const std::string_view name : names) {
    const auto text = std::as_bytes(std::span(name));
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(std::byte(0));
  }
  return bytes;
}

std::vector<FakeCaller::Entry> parse_entries(std::span<const std::byte> body, bool plus) {
  std::vector<FakeCaller::Entry> entries;
  while (!body.empty()) {
    FakeCaller::Entry entry{};
    fuse_dirent head{};
    const size_t prefix = plus ? sizeof(fuse_entry_out) : 0;
    if (body.size() < prefix + FUSE_NAME_OFFSET) throw std::runtime_error("a directory entry is cut");
    if (plus) std::memcpy(&entry.plus, body.data(), sizeof(entry.plus));
    std::memcpy(&head, body.data() + prefix, FUSE_NAME_OFFSET);
    const size_t length = FUSE_DIRENT_ALIGN(prefix + FUSE_NAME_OFFSET + head.namelen);
    if (body.size() < length) throw std::runtime_error("a directory entry's name is cut");
    entry.name.assign(reinterpret_cast<const char*>(body.data() + prefix + FUSE_NAME_OFFSET), head.namelen);
    entry.ino = head.ino;
    entry.cookie = head.off;
    entry.type = head.type;
    entries.push_back(std::move(entry));
    body = body.subspan(length);
  }
  return entries;
}

Result<fuse_entry_out> FakeCaller::lookup(uint64_t parent, std::string_view name) const {
  const auto entry = to_result<fuse_entry_out>(kernel_.call(FUSE_LOOKUP, parent, make_names({name})));
  if (entry && entry->nodeid == 0) return fail(std::errc::no_such_file_or_directory);
  return entry;
}

Result<fuse_entry_out> FakeCaller::create(uint64_t parent, std::string_view name, uint32_t mode, uint32_t flags) const {
  fuse_create_in argument{};
  argument.mode = mode;
  argument.flags = flags;
  return to_result<fuse_entry_out>(kernel_.call(FUSE_CREATE, parent, make_argument(argument, {name})));
}

Result<fuse_entry_out> FakeCaller::tmpfile(uint64_t parent, uint32_t mode) const {
  fuse_create_in argument{};
  argument.mode = mode;
  argument.flags = O_RDWR | O_TMPFILE;
  return to_result<fuse_entry_out>(kernel_.call(FUSE_TMPFILE, parent, make_argument(argument, {"/"})));
}

Result<fuse_entry_out> FakeCaller::mknod(uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev) const {
  fuse_mknod_in argument{};
  argument.mode = mode;
  argument.rdev = rdev;
  return to_result<fuse_entry_out>(kernel_.call(FUSE_MKNOD, parent, make_argument(argument, {name})));
}

Result<fuse_entry_out> FakeCaller::mkdir(uint64_t parent, std::string_view name, uint32_t mode) const {
  const fuse_mkdir_in argument{.mode = mode, .umask = 0};
  return to_result<fuse_entry_out>(kernel_.call(FUSE_MKDIR, parent, make_argument(argument, {name})));
}

Result<fuse_entry_out> FakeCaller::symlink(uint64_t parent, std::string_view name, std::string_view target) const {
  return to_result<fuse_entry_out>(kernel_.call(FUSE_SYMLINK, parent, make_names({name, target})));
}

Result<fuse_entry_out> FakeCaller::link(uint64_t ino, uint64_t parent, std::string_view name) const {
  const fuse_link_in argument{.oldnodeid = ino};
  return to_result<fuse_entry_out>(kernel_.call(FUSE_LINK, parent, make_argument(argument, {name})));
}

Result<void> FakeCaller::unlink(uint64_t parent, std::string_view name) const {
  return to_result(kernel_.call(FUSE_UNLINK, parent, make_names({name})));
}

Result<void> FakeCaller::rmdir(uint64_t parent, std::string_view name) const {
  return to_result(kernel_.call(FUSE_RMDIR, parent, make_names({name})));
}

Result<void> FakeCaller::rename(uint64_t parent, std::string_view name, uint64_t new_parent, std::string_view new_name,
                                uint32_t flags) const {
  if (flags == 0) {
    const fuse_rename_in argument{.newdir = new_parent};
    return to_result(kernel_.call(FUSE_RENAME, parent, make_argument(argument, {name, new_name})));
  }
  const fuse_rename2_in argument{.newdir = new_parent, .flags = flags, .padding = 0};
  return to_result(kernel_.call(FUSE_RENAME2, parent, make_argument(argument, {name, new_name})));
}

Result<fuse_attr> FakeCaller::getattr(uint64_t ino) const {
  return to_attr(kernel_.call(FUSE_GETATTR, ino, make_argument(fuse_getattr_in{})));
}

Result<fuse_attr> FakeCaller::setattr(uint64_t ino, const fuse_setattr_in& change) const {
  return to_attr(kernel_.call(FUSE_SETATTR, ino, make_argument(change)));
}

Result<fuse_attr> FakeCaller::truncate(uint64_t ino, uint64_t size) const {
  fuse_setattr_in change{};
  change.valid = FATTR_SIZE;
  change.size = size;
  return setattr(ino, change);
}

Result<std::string> FakeCaller::readlink(uint64_t ino) const { return to_text(kernel_.call(FUSE_READLINK, ino, {})); }

Result<std::vector<std::byte>> FakeCaller::read(uint64_t ino, uint64_t offset, uint32_t size) const {
  auto reply = kernel_.call(FUSE_READ, ino, make_argument(read_argument(offset, size)));
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  return std::move(reply.body);
}

Result<uint32_t> FakeCaller::write(uint64_t ino, uint64_t offset, std::span<const std::byte> data) const {
  fuse_write_in argument{};
  argument.offset = offset;
  argument.size = uint32_t(data.size());
  auto bytes = make_argument(argument);
  bytes.insert(bytes.end(), data.begin(), data.end());
  const auto result = to_result<fuse_write_out>(kernel_.call(FUSE_WRITE, ino, bytes));
  if (!result) return fail(result.error());
  return result->size;
}

Result<void> FakeCaller::fallocate(uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length) const {
  fuse_fallocate_in argument{};
  argument.offset = offset;
  argument.length = length;
  argument.mode = flags;
  return to_result(kernel_.call(FUSE_FALLOCATE, ino, make_argument(argument)));
}

Result<uint64_t> FakeCaller::seek(uint64_t ino, uint64_t offset, uint32_t whence) const {
  fuse_lseek_in argument{};
  argument.offset = offset;
  argument.whence = whence;
  const auto result = to_result<fuse_lseek_out>(kernel_.call(FUSE_LSEEK, ino, make_argument(argument)));
  if (!result) return fail(result.error());
  return result->offset;
}

Result<uint32_t> FakeCaller::copy_file_range(uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
                                             uint64_t length) const {
  fuse_copy_file_range_in argument{};
  argument.off_in = from_offset;
  argument.nodeid_out = to;
  argument.off_out = to_offset;
  argument.len = length;
  const auto result = to_result<fuse_write_out>(kernel_.call(FUSE_COPY_FILE_RANGE, from, make_argument(argument)));
  if (!result) return fail(result.error());
  return result->size;
}

Result<void> FakeCaller::setxattr(uint64_t ino, std::string_view name, std::string_view value, uint32_t flags) const {
  const std::array<uint32_t, 2> argument{uint32_t(value.size()), flags};  // as long as without FUSE_SETXATTR_EXT
  auto bytes = make_argument(argument, {name});
  const auto data = std::as_bytes(std::span(value));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return to_result(kernel_.call(FUSE_SETXATTR, ino, bytes));
}

Result<void> FakeCaller::removexattr(uint64_t ino, std::string_view name) const {
  return to_result(kernel_.call(FUSE_REMOVEXATTR, ino, make_names({name})));
}

Result<std::string> FakeCaller::getxattr(uint64_t ino, std::string_view name) const {
  return to_text(kernel_.call(FUSE_GETXATTR, ino, make_argument(kXattrRoom, {name})));
}

Result<std::string> FakeCaller::listxattr(uint64_t ino) const {
  return to_text(kernel_.call(FUSE_LISTXATTR, ino, make_argument(kXattrRoom)));
}

Result<std::vector<FakeCaller::Entry>> FakeCaller::readdir(uint64_t ino, uint64_t cookie, uint32_t size) const {
  const auto reply = kernel_.call(FUSE_READDIR, ino, make_argument(read_argument(cookie, size)));
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  return parse_entries(reply.body, false);
}

Result<std::vector<FakeCaller::Entry>> FakeCaller::readdirplus(uint64_t ino, uint64_t cookie, uint32_t size) const {
  const auto reply = kernel_.call(FUSE_READDIRPLUS, ino, make_argument(read_argument(cookie, size)));
  if (reply.error != 0) return fail(static_cast<std::errc>(reply.error));
  return parse_entries(reply.body, true);
}

Result<std::vector<FakeCaller::Entry>> FakeCaller::list(uint64_t ino, bool plus, uint32_t size) const {
  std::vector<Entry> all;
  uint64_t cookie = 0;
  while (true) {
    auto some = plus ? readdirplus(ino, cookie, size) : readdir(ino, cookie, size);
    if (!some) return fail(some.error());
    if (some->empty()) return all;
    cookie = some->back().cookie;
    for (Entry& entry : *some)
      if (entry.name != "." && entry.name != "..") all.push_back(std::move(entry));
  }
}

Result<fuse_kstatfs> FakeCaller::statfs() const {
  const auto result = to_result<fuse_statfs_out>(kernel_.call(FUSE_STATFS, 1, {}));
  if (!result) return fail(result.error());
  return result->st;
}

}  // namespace ztmpfs
