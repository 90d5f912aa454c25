#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tests/support/fake_kernel.h"

namespace ztmpfs {

/// Requests as system calls make them: each sends one and waits for its reply. As thread-safe as the FakeKernel.
class FakeCaller {
 public:
  struct Entry {
    std::string name;
    uint64_t ino;
    uint64_t cookie;
    uint32_t type;        ///< S_IFMT >> 12
    fuse_entry_out plus;  ///< readdirplus only
  };

  explicit FakeCaller(FakeKernel& kernel) : kernel_(kernel) {}

  FakeKernel& kernel() const { return kernel_; }

  Result<fuse_entry_out> lookup(uint64_t parent, std::string_view name) const;
  Result<fuse_entry_out> create(uint64_t parent, std::string_view name, uint32_t mode, uint32_t flags) const;
  /// As fs/fuse/dir.c has it: with the placeholder's name.
  Result<fuse_entry_out> tmpfile(uint64_t parent, uint32_t mode) const;
  Result<fuse_entry_out> mknod(uint64_t parent, std::string_view name, uint32_t mode, uint32_t rdev) const;
  Result<fuse_entry_out> mkdir(uint64_t parent, std::string_view name, uint32_t mode) const;
  Result<fuse_entry_out> symlink(uint64_t parent, std::string_view name, std::string_view target) const;
  Result<fuse_entry_out> link(uint64_t ino, uint64_t parent, std::string_view name) const;
  Result<void> unlink(uint64_t parent, std::string_view name) const;
  Result<void> rmdir(uint64_t parent, std::string_view name) const;
  /// RENAME, or RENAME2 if there are flags.
  Result<void> rename(uint64_t parent, std::string_view name, uint64_t new_parent, std::string_view new_name,
                      uint32_t flags = 0) const;
  Result<fuse_attr> getattr(uint64_t ino) const;
  Result<fuse_attr> setattr(uint64_t ino, const fuse_setattr_in& change) const;
  Result<fuse_attr> truncate(uint64_t ino, uint64_t size) const;
  Result<std::string> readlink(uint64_t ino) const;
  Result<std::vector<std::byte>> read(uint64_t ino, uint64_t offset, uint32_t size) const;
  Result<uint32_t> write(uint64_t ino, uint64_t offset, std::span<const std::byte> data) const;
  Result<void> fallocate(uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length) const;
  /// SEEK_DATA or SEEK_HOLE.
  Result<uint64_t> seek(uint64_t ino, uint64_t offset, uint32_t whence) const;
  Result<uint32_t> copy_file_range(uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
                                   uint64_t length) const;
  Result<void> setxattr(uint64_t ino, std::string_view name, std::string_view value, uint32_t flags = 0) const;
  Result<void> removexattr(uint64_t ino, std::string_view name) const;
  /// The value.
  Result<std::string> getxattr(uint64_t ino, std::string_view name) const;
  /// The names, a NUL behind each.
  Result<std::string> listxattr(uint64_t ino) const;
  /// One request's worth of entries.
  Result<std::vector<Entry>> readdir(uint64_t ino, uint64_t cookie, uint32_t size) const;
  Result<std::vector<Entry>> readdirplus(uint64_t ino, uint64_t cookie, uint32_t size) const;
  /// All entries but "." and "..", by as many requests as it takes.
  Result<std::vector<Entry>> list(uint64_t ino, bool plus, uint32_t size = 4096) const;
  Result<fuse_kstatfs> statfs() const;

 private:
  FakeKernel& kernel_;
};

/// The bytes of a text, as contents of a file.
inline std::vector<std::byte> bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

/// The bytes of an argument structure with names behind it.
template <class Argument>
std::vector<std::byte> make_argument(const Argument& argument, std::initializer_list<std::string_view> names = {}) {
  const auto head = std::as_bytes(std::span(&argument, 1));
  std::vector<std::byte> bytes(head.begin(), head.end());
  for (const std::string_view name : names) {
    const auto text = std::as_bytes(std::span(name));
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(std::byte(0));
  }
  return bytes;
}

/// The same without a structure.
std::vector<std::byte> make_names(std::initializer_list<std::string_view> names);

/// The entries in the body of a reply to READDIR or READDIRPLUS.
std::vector<FakeCaller::Entry> parse_entries(std::span<const std::byte> body, bool plus);

}  // namespace ztmpfs
