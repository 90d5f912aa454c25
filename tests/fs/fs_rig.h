#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "fs/volume.h"
#include "tests/support/fake_clock.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {

/// A volume without a kernel: each call is one request of reader 0.
class FsRig {
 public:
  explicit FsRig(Bytes size = 64 * kMiB, Bytes logical = 0, const ImageGeometry& geometry = small_geometry())
      : files_(ImageFiles::create(geometry)) {
    options_.size = size;
    options_.logical = logical;
    options_.hot = 4 * kMiB;
    options_.count_heaps = false;
    options_.root.root_mode = 0755;
    options_.root.acl = true;
    attach();
  }

  /// What a new process does: maps the same image and rebuilds everything.
  void attach() {
    volume_.reset();
    volume_ = std::make_unique<Volume>(duplicate(files_), options_, clock_);
    for (uint32_t slot = 0; slot < volume_->image().geometry().request_slots; ++slot) operation(slot).end();
  }
  Volume& volume() { return *volume_; }
  FileSystem& fs() { return volume_->fs(); }
  FakeClock& clock() { return clock_; }
  const ImageFiles& files() const { return files_; }
  const VolumeOptions& options() const { return options_; }
  Operation operation(uint32_t slot = 0) const {
    return Operation(volume_->image(), request_record(volume_->image(), slot), {1000, 100});
  }
  /// Runs one request on the slot and ends it.
  template <class Request>
  auto run(Request&& request, uint32_t slot = 0) {
    Operation op = operation(slot);
    auto result = request(op);
    op.end();
    return result;
  }
  void forget(uint64_t ino, uint64_t lookups = 1, uint32_t slot = 0) {
    Operation op = operation(slot);
    const Forget item{ino, lookups};
    fs().forget(op, std::span(&item, 1));
    op.end();
  }
  void expect_sound() { EXPECT_EQ(fs().audit(), std::vector<std::string>()); }

  Result<Attr> lookup(uint64_t parent, std::string_view name) {
    return run([&](Operation& op) { return fs().lookup(op, parent, name); });
  }
  Result<Attr> create(uint64_t parent, std::string_view name, bool exclusive = false) {
    return run([&](Operation& op) { return fs().create(op, parent, name, 0644, exclusive); });
  }
  Result<Attr> tmpfile(uint64_t parent) {
    return run([&](Operation& op) { return fs().tmpfile(op, parent, 0644); });
  }
  Result<Attr> mkdir(uint64_t parent, std::string_view name) {
    return run([&](Operation& op) { return fs().mkdir(op, parent, name, 0755); });
  }
  Result<Attr> symlink(uint64_t parent, std::string_view name, std::string_view target) {
    return run([&](Operation& op) { return fs().symlink(op, parent, name, target); });
  }
  Result<Attr> link(uint64_t ino, uint64_t parent, std::string_view name) {
    return run([&](Operation& op) { return fs().link(op, ino, parent, name); });
  }
  Result<void> unlink(uint64_t parent, std::string_view name) {
    return run([&](Operation& op) { return fs().unlink(op, parent, name); });
  }
  Result<void> rmdir(uint64_t parent, std::string_view name) {
    return run([&](Operation& op) { return fs().rmdir(op, parent, name); });
  }
  Result<void> rename(uint64_t parent, std::string_view name, uint64_t to, std::string_view new_name,
                      uint32_t flags = 0) {
    return run([&](Operation& op) { return fs().rename(op, parent, name, to, new_name, flags); });
  }
  Result<size_t> write(uint64_t ino, uint64_t offset, std::string_view data) {
    return run([&](Operation& op) { return fs().write(op, ino, offset, std::as_bytes(std::span(data))); });
  }
  Result<Attr> truncate(uint64_t ino, uint64_t size) {
    return run([&](Operation& op) { return fs().setattr(op, ino, {.fields = SetAttr::kSize, .size = size}); });
  }
  Result<void> fallocate(uint64_t ino, uint32_t flags, uint64_t offset, uint64_t length) {
    return run([&](Operation& op) { return fs().fallocate(op, ino, flags, offset, length); });
  }
  Result<size_t> copy(const FileSystem::CopyRange& range) {
    return run([&](Operation& op) { return fs().copy_file_range(op, range); });
  }
  Result<void> set_xattr(uint64_t ino, std::string_view name, std::string_view value, uint32_t flags = 0) {
    return run([&](Operation& op) {
      return fs().set_xattr(op, ino, {.name = name, .value = std::as_bytes(std::span(value)), .flags = flags});
    });
  }
  Result<void> remove_xattr(uint64_t ino, std::string_view name) {
    return run([&](Operation& op) { return fs().remove_xattr(op, ino, name); });
  }
  Result<std::string> get_xattr(uint64_t ino, std::string_view name) {
    std::string value(FileSystem::kXattrValueMax, '?');
    const auto length = fs().get_xattr(ino, name, std::as_writable_bytes(std::span(value)));
    if (!length) return fail(length.error());
    value.resize(*length);
    return value;
  }
  /// The names of all xattrs, a NUL behind each.
  std::string list_xattrs(uint64_t ino, uint32_t uid = 0) {
    std::string names(64 * kKiB, '?');
    const auto length = fs().list_xattrs(ino, {.uid = uid}, std::as_writable_bytes(std::span(names)));
    names.resize(length.value_or(0));
    return names;
  }
  std::string read(uint64_t ino, uint64_t offset = 0, size_t size = 1 << 20) {
    std::string data(size, '?');
    const auto done = fs().read(ino, offset, std::as_writable_bytes(std::span(data)));
    if (!done) return "error " + std::to_string(int(done.error()));
    data.resize(*done);
    return data;
  }
  std::vector<std::string> list(uint64_t ino) {
    std::vector<std::string> names;
    EXPECT_TRUE(fs().readdir(ino, 0, [&](const DirectoryEntry& entry) {
      names.emplace_back(entry.name);
      return true;
    }));
    return names;
  }

 private:
  FakeClock clock_;
  ImageFiles files_;
  VolumeOptions options_;
  std::unique_ptr<Volume> volume_;
};

}  // namespace ztmpfs
