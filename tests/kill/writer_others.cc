// Mappings, locks and attributes.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tests/kill/writer.h"

namespace ztmpfs {

namespace {

constexpr size_t kPage = 4096;

// Another open file description of the same file.
UniqueFd open_again(int fd, int flags) {
  return UniqueFd(::open(fmt::format("/proc/self/fd/{}", fd).c_str(), flags | O_CLOEXEC));
}

// A range of a file that holds no data, for locks.
struct flock record_lock(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = 100;
  lock.l_len = 50;
  return lock;
}

}  // namespace

void Writer::map_file() {
  Handle* handle = any_handle([](const Handle& open) {
    return open.can_read && open.can_write && open.mapping == nullptr && !open.node->data.empty();
  });
  if (handle == nullptr) return;
  const size_t length = (handle->node->data.size() + kPage - 1) & ~(kPage - 1);
  describe("ino {} {} bytes", handle->node->ino, length);
  void* mapping = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, handle->fd.get(), 0);
  expect(mapping == MAP_FAILED ? -1 : 0);
  handle->mapping = static_cast<char*>(mapping);
  handle->mapping_length = length;
  ++handle->node->mappings;
}

void Writer::write_mapping() {
  Handle* handle = any_handle([](const Handle& open) { return open.mapping != nullptr && !open.node->data.empty(); });
  if (handle == nullptr) return;
  Node& node = *handle->node;
  // Pages beyond the end do not exist.
  const size_t usable = std::min(handle->mapping_length, node.data.size());
  const size_t offset = any_offset(usable);
  const size_t length = std::min(any_length(), usable - offset);
  const bool writes = random_.chance(60);
  describe("ino {} at {} {} bytes {}", node.ino, offset, length, writes ? "write" : "read");
  if (!writes) return compare_bytes({handle->mapping + offset, length}, offset, node, "through a mapping");
  const std::string data = bytes(length);
  put(node, offset, data);
  node.has_dirty_pages = true;
  std::memcpy(handle->mapping + offset, data.data(), length);
  if (!random_.chance(30)) return;
  history_.back() += " and msync";
  expect(::msync(handle->mapping, handle->mapping_length, MS_SYNC));
}

void Writer::synchronize() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write; });
  if (handle == nullptr) return;
  describe("ino {}", handle->node->ino);
  if (random_.chance(30)) return void(expect(::fdatasync(handle->fd.get())));
  expect(::fsync(handle->fd.get()));
  handle->node->has_dirty_pages = false;
  handle->node->touch_contents();
}

void Writer::take_lock() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write && open.can_read; });
  if (handle == nullptr) return;
  const bool takes_record_lock = random_.chance(50);
  const auto is_taken = [&](const Handle& other) {
    return other.node == handle->node && (takes_record_lock ? other.has_record_lock : other.has_flock);
  };
  const bool has_it = takes_record_lock ? handle->has_record_lock : handle->has_flock;
  const bool conflicts = !has_it && std::ranges::any_of(handles_, is_taken);
  describe("ino {} {} {}", handle->node->ino, takes_record_lock ? "record" : "flock", has_it ? "release" : "take");
  if (takes_record_lock) {
    struct flock lock = record_lock(has_it ? F_UNLCK : F_WRLCK);
    expect(::fcntl(handle->fd.get(), F_OFD_SETLK, &lock), conflicts ? EAGAIN : 0);
    handle->has_record_lock = !has_it && !conflicts;
  } else {
    expect(::flock(handle->fd.get(), has_it ? LOCK_UN : LOCK_EX | LOCK_NB), conflicts ? EWOULDBLOCK : 0);
    handle->has_flock = !has_it && !conflicts;
  }
}

void Writer::look_at_lock() {
  Handle* handle = any_handle([](const Handle& open) { return open.can_write && open.can_read; });
  if (handle == nullptr) return;
  bool has_flock = false;
  bool has_record_lock = false;
  for (const Handle& other : handles_) {
    if (other.node != handle->node) continue;
    has_flock = has_flock || other.has_flock;
    has_record_lock = has_record_lock || other.has_record_lock;
  }
  describe("ino {} flock {} record {}", handle->node->ino, has_flock, has_record_lock);
  const UniqueFd other = open_again(handle->fd.get(), O_RDWR);
  expect(other.get());
  expect(::flock(other.get(), LOCK_EX | LOCK_NB), has_flock ? EWOULDBLOCK : 0);
  struct flock lock = record_lock(F_WRLCK);
  expect(::fcntl(other.get(), F_OFD_GETLK, &lock));
  if ((lock.l_type != F_UNLCK) != has_record_lock) throw Mismatch("a record lock that is lost, or too many");
}

void Writer::change_attributes() {
  const Entry entry = any_entry([](const Node& node) { return !node.is(Node::Kind::kSymlink); });
  if (!entry.node) return;
  Node& node = *entry.node;
  describe("{} ", entry.path());
  const uint64_t dice = random_.below(features_.is_root ? 3 : 2);
  if (dice == 0) {
    const mode_t mode = any_mode(node.is_directory() ? 0700 : 0600);
    describe("mode {:o}", mode);
    expect(::chmod(entry.path().c_str(), mode));
    node.mode = mode;
    node.touch();
  } else if (dice == 1) {
    const timespec time{time_t(random_.below(2'000'000'000)), long(random_.below(1'000'000'000))};
    const timespec times[2] = {time, time};
    describe("time {}.{}", time.tv_sec, time.tv_nsec);
    expect(::utimensat(AT_FDCWD, entry.path().c_str(), times, 0));
    node.touch();
    node.modified = time;
  } else {
    node.uid = uid_t(random_.below(3));
    node.gid = gid_t(random_.below(3));
    describe("owner {} {}", node.uid, node.gid);
    expect(::lchown(entry.path().c_str(), node.uid, node.gid));
    node.touch();
  }
}

void Writer::change_xattr() {
  if (!features_.xattrs) return;
  const Entry entry = any_entry([](const Node& node) { return node.is_directory() || node.is(Node::Kind::kFile); });
  if (!entry.node) return;
  Node& node = *entry.node;
  const std::string path = entry.path();
  const std::string name = fmt::format("user.x{}", random_.below(6));
  const bool exists = node.xattrs.contains(name);
  if (random_.chance(30)) {
    describe("{} remove {}", path, name);
    expect(::removexattr(path.c_str(), name.c_str()), exists ? 0 : ENODATA);
    node.xattrs.erase(name);
    if (exists) node.touch();
    return;
  }
  const int flags = random_.pick<int>({0, 0, XATTR_CREATE, XATTR_REPLACE});
  const std::string value = bytes(random_.below(random_.chance(80) ? 200 : 9000));
  describe("{} set {} {} bytes flags {}", path, name, value.size(), flags);
  const int error = exists && flags == XATTR_CREATE ? EEXIST : !exists && flags == XATTR_REPLACE ? ENODATA : 0;
  expect(::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags), error);
  if (error != 0) return;
  node.xattrs[name] = value;
  node.touch();
}

void Writer::look_at_entry() {
  const Entry entry = any_entry([](const Node&) { return true; });
  if (!entry.node) return;
  describe("{}", entry.path());
  compare_entry(entry);
}

void Writer::look_at_handle() {
  Handle* handle = any_handle([](const Handle&) { return true; });
  if (handle == nullptr) return;
  describe("ino {} {} names", handle->node->ino, handle->node->names);
  compare_status(status_of(handle->fd.get()), *handle->node, "open file");
}

}  // namespace ztmpfs
