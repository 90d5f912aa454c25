// Comparing what is there with what must be.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "tests/kill/writer.h"

namespace ztmpfs {

namespace {

constexpr size_t kPage = 4096;

mode_t type_bits(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::kFile: return S_IFREG;
    case Node::Kind::kDirectory: return S_IFDIR;
    case Node::Kind::kSymlink: return S_IFLNK;
    case Node::Kind::kFifo: return S_IFIFO;
    case Node::Kind::kWhiteout: return S_IFCHR;
  }
  return 0;
}

bool is_same(const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

std::string hexadecimal(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes.substr(0, 16)) text += fmt::format("{:02x}", uint8_t(byte));
  return text;
}

}  // namespace

// The kernel keeps listings of FUSE directories, and lets who is in the midst of one go on in what somebody else began
// to read before it (fs/fuse/readdir.c asks only at the beginning whether the directory has changed).
void forget_listing(int directory) { ::posix_fadvise(directory, 0, 0, POSIX_FADV_DONTNEED); }

// The kernel calls attributes valid just before it takes them over from another process's reply, and stat(2) may come
// in between (fs/fuse/inode.c, fuse_change_attributes_common()): one answer of older attributes, hence the second look.
template <class Look>
struct stat Writer::settled_status(Look look) {
  struct stat status{};
  struct stat before{};
  expect(look(&status));
  do {
    before = status;
    expect(look(&status));
  } while (std::memcmp(&before, &status, sizeof(status)) != 0);
  return status;
}

struct stat Writer::status_of(const std::string& path) {
  return settled_status([&](struct stat* status) { return ::lstat(path.c_str(), status); });
}

struct stat Writer::status_of(int fd) {
  return settled_status([fd](struct stat* status) { return ::fstat(fd, status); });
}

void Writer::compare_status(const struct stat& status, Node& node, const std::string& where) {
  const auto compare = [&](std::string_view what, uint64_t seen, uint64_t expected) {
    if (seen != expected) throw Mismatch(fmt::format("{}: {} {} instead of {}", where, what, seen, expected));
  };
  compare("mode", status.st_mode, type_bits(node.kind) | node.mode);
  // The test's own directories have these from whoever made them, and the other writers' counts change.
  compare("inode", status.st_ino, node.ino == 0 ? status.st_ino : node.ino);
  if (node.is_shared) return;
  compare("owner", status.st_uid, node.uid);
  compare("group", status.st_gid, node.gid);
  compare("links", status.st_nlink, node.is_directory() && node.names > 0 ? 2 + node.subdirectories() : node.names);
  if (node.is(Node::Kind::kFile) || node.is(Node::Kind::kSymlink))
    compare("size", uint64_t(status.st_size), node.data.size());
  if (node.has_dirty_pages) return;
  const auto compare_time = [&](std::string_view what, const timespec& seen, std::optional<timespec>& known) {
    if (known && !is_same(seen, *known))
      throw Mismatch(fmt::format("{}: {} {}.{:09} instead of {}.{:09}, though nothing has changed it", where, what,
                                 seen.tv_sec, seen.tv_nsec, known->tv_sec, known->tv_nsec));
    known = seen;
  };
  compare_time("mtime", status.st_mtim, node.modified);
  compare_time("ctime", status.st_ctim, node.changed);
}

void Writer::compare_bytes(std::string_view seen, size_t offset, const Node& node, std::string_view how) {
  const std::string_view expected = std::string_view(node.data).substr(std::min(offset, node.data.size()), seen.size());
  bytes_compared_ += seen.size();
  if (seen == expected) return;
  const size_t at = size_t(std::ranges::mismatch(seen, expected).in1 - seen.begin());
  throw Mismatch(fmt::format("ino {} {}: {} bytes of {} at {} of {}; first difference at {}: {} instead of {}",
                             node.ino, how, seen.size(), expected.size(), offset, node.data.size(), offset + at,
                             hexadecimal(seen.substr(std::min(at, seen.size()))),
                             hexadecimal(expected.substr(std::min(at, expected.size())))));
}

void Writer::compare_range(const Handle& handle, size_t offset, size_t length) {
  const uint64_t dice = random_.below(100);
  const size_t size = handle.node->data.size();
  const size_t expected = offset < size ? std::min(length, size - offset) : 0;
  UniqueFd direct;
  std::string_view how = "from the cache";
  if (dice < 50) {
    how = "past the cache";
    expect(::posix_fadvise(handle.fd.get(), 0, 0, POSIX_FADV_DONTNEED));
  } else if (dice < 65 && features_.direct_reads) {
    how = "with O_DIRECT";
    direct.reset(::open(fmt::format("/proc/self/fd/{}", handle.fd.get()).c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    expect(direct.get());
    offset &= ~(kPage - 1);
    length = (length + kPage - 1) & ~(kPage - 1);
  }
  if (!direct) {
    std::string seen(length, '?');
    const auto count = expect(::pread(handle.fd.get(), seen.data(), length, off_t(offset)));
    if (size_t(count) != expected) throw Mismatch(fmt::format("{} bytes read {}, not {}", count, how, expected));
    return compare_bytes(std::string_view(seen).substr(0, size_t(count)), offset, *handle.node, how);
  }
  const std::unique_ptr<char, decltype(&std::free)> seen(static_cast<char*>(std::aligned_alloc(kPage, length)),
                                                         &std::free);
  const auto count = expect(::pread(direct.get(), seen.get(), length, off_t(offset)));
  const size_t aligned = offset < size ? std::min(length, size - offset) : 0;
  if (size_t(count) != aligned) throw Mismatch(fmt::format("{} bytes read {}, not {}", count, how, aligned));
  compare_bytes({seen.get(), size_t(count)}, offset, *handle.node, how);
}

void Writer::compare_file(const std::string& path, const NodePointer& node) {
  Handle handle;
  handle.fd.reset(int(expect(::open(path.c_str(), O_RDONLY | O_CLOEXEC))));
  handle.node = node;
  compare_range(handle, 0, node->data.size() + 1);
}

void Writer::compare_xattrs(const std::string& path, const Node& node) {
  std::string list(4096, '\0');
  list.resize(size_t(expect(::listxattr(path.c_str(), list.data(), list.size()))));
  std::set<std::string> names;
  for (size_t at = 0; at < list.size(); at = list.find('\0', at) + 1) {
    const std::string name = list.c_str() + at;
    if (name.starts_with("user.")) names.insert(name);
  }
  if (names.size() != node.xattrs.size())
    throw Mismatch(fmt::format("{}: {} xattrs instead of {}", path, names.size(), node.xattrs.size()));
  for (const auto& [name, value] : node.xattrs) {
    std::string seen(value.size() + 1, '?');
    const auto length = expect(::getxattr(path.c_str(), name.c_str(), seen.data(), seen.size()));
    if (seen.substr(0, size_t(length)) != value) throw Mismatch(fmt::format("{}: other value of {}", path, name));
  }
}

void Writer::compare_entry(const Entry& entry) {
  const std::string path = entry.path();
  Node& node = *entry.node;
  compare_status(status_of(path), node, path);
  if (node.is(Node::Kind::kSymlink)) {
    std::string target(node.data.size() + 1, '?');
    target.resize(size_t(expect(::readlink(path.c_str(), target.data(), target.size()))));
    if (target != node.data) throw Mismatch(fmt::format("{}: points elsewhere", path));
  }
  const bool has_xattrs = node.is_directory() || node.is(Node::Kind::kFile);
  if (features_.xattrs && has_xattrs) compare_xattrs(path, node);
}

void Writer::compare_listing(Node& directory) {
  const std::string prefix = directory.is_shared ? fmt::format("w{}_", number_) : "";
  std::set<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.path().c_str()), ::closedir);
  expect(stream ? 0 : -1);
  forget_listing(::dirfd(stream.get()));
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || !name.starts_with(prefix)) continue;
    if (!names.insert(name).second) throw Mismatch(fmt::format("{}: {} is listed twice", directory.path(), name));
    if (!directory.children.contains(name)) throw Mismatch(fmt::format("{}: {} is new", directory.path(), name));
    forget_listing(::dirfd(stream.get()));
    errno = 0;
  }
  expect(errno == 0 ? 0 : -1);
  for (const auto& [name, node] : directory.children)
    if (!names.contains(name)) throw Mismatch(fmt::format("{}: {} is not listed", directory.path(), name));
}

void Writer::compare_tree(Node& directory) {
  compare_listing(directory);
  for (const auto& [name, node] : directory.children) {
    const Entry entry{&directory, name, node};
    compare_entry(entry);
    if (node->is_directory()) compare_tree(*node);
    if (node->is(Node::Kind::kFile)) compare_file(entry.path(), node);
  }
}

void Writer::verify() {
  history_.emplace_back("verify: ");
  for (const NodePointer& top : {own_, shared_}) {
    compare_status(status_of(top->name), *top, top->name);
    compare_tree(*top);
  }
  for (Handle& handle : handles_) {
    compare_status(status_of(handle.fd.get()), *handle.node, "open file");
    if (handle.can_read) compare_range(handle, 0, handle.node->data.size() + 1);
    if (handle.mapping != nullptr)
      compare_bytes({handle.mapping, std::min(handle.mapping_length, handle.node->data.size())}, 0, *handle.node,
                    "through a mapping");
  }
}

void Writer::remove() {
  history_.emplace_back("remove: ");
  while (!handles_.empty()) drop(0);
  while (!walks_.empty()) end_walk(0);
  for (const NodePointer& top : {shared_, own_}) remove_below(*top);
  expect(::rmdir(own_->name.c_str()));
}

}  // namespace ztmpfs
