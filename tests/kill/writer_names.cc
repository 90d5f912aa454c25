// Operations on names.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "tests/kill/writer.h"

namespace ztmpfs {

namespace {

constexpr unsigned kDepthMax = 6;
constexpr int kReadWrite = O_RDWR | O_CLOEXEC;

int access_flags(Random& random) {
  const int access = random.pick({O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY});
  return access | (random.chance(25) ? O_APPEND : 0) | O_CLOEXEC;
}

unsigned height(const Node& node) {
  unsigned most = 0;
  for (const auto& [name, child] : node.children) most = std::max(most, 1 + height(*child));
  return most;
}

}  // namespace

void Writer::create_exclusively() {
  const Entry at = place();
  const mode_t mode = any_mode(0600);
  const int flags = access_flags(random_);
  describe("{} flags {:o} mode {:o}", at.path(), flags, mode);
  const int fd = ::open(at.path().c_str(), flags | O_CREAT | O_EXCL, mode);
  expect(fd, at.node ? EEXIST : 0);
  if (at.node) return;
  const NodePointer node = new_node(Node::Kind::kFile, mode);
  add_name(*at.directory, at.name, node);
  adopt(fd, node, flags);
}

void Writer::open_or_create() {
  const Entry at = place();
  // A link would be followed, a fifo would wait, and a directory or a device is no file.
  if (at.node && !at.node->is(Node::Kind::kFile)) return;
  const bool truncates = random_.chance(30);
  const mode_t mode = any_mode(0600);
  const int flags = access_flags(random_) | (truncates ? O_TRUNC : 0);
  describe("{} flags {:o} mode {:o}", at.path(), flags, mode);
  // What O_RDONLY | O_TRUNC does is unspecified.
  if (truncates && (flags & O_ACCMODE) == O_RDONLY) return;
  const int fd = int(expect(::open(at.path().c_str(), flags | O_CREAT, mode)));
  if (at.node) {
    if (truncates) resize(*at.node, 0);
    return keep(fd, at.node, flags);
  }
  const NodePointer node = new_node(Node::Kind::kFile, mode);
  add_name(*at.directory, at.name, node);
  adopt(fd, node, flags);
}

void Writer::open_existing() {
  const Entry entry = any_entry([](const Node& node) { return node.is(Node::Kind::kFile); });
  if (!entry.node) return;
  const int flags = access_flags(random_);
  describe("{} flags {:o}", entry.path(), flags);
  keep(int(expect(::open(entry.path().c_str(), flags))), entry.node, flags);
}

void Writer::make_unnamed() {
  if (!features_.tmpfile) return;
  const Node& directory = any_directory();
  const mode_t mode = any_mode(0600);
  describe("in {} mode {:o}", directory.path(), mode);
  const int fd = int(expect(::open(directory.path().c_str(), O_TMPFILE | kReadWrite, mode)));
  const NodePointer node = new_node(Node::Kind::kFile, mode);
  node->never_named = true;
  adopt(fd, node, O_RDWR);
}

void Writer::make_directory() {
  const Entry at = place();
  const mode_t mode = any_mode(0700);
  describe("{} mode {:o}", at.path(), mode);
  if (at.directory->depth() >= kDepthMax) return;
  expect(::mkdir(at.path().c_str(), mode), at.node ? EEXIST : 0);
  if (at.node) return;
  const NodePointer node = new_node(Node::Kind::kDirectory, mode);
  add_name(*at.directory, at.name, node);
  adopt_number(at.path(), *node);
}

void Writer::make_symlink() {
  const Entry at = place();
  const std::string target = "to/" + std::string(1 + random_.below(random_.chance(10) ? 3000 : 60), 't');
  describe("{} -> {} bytes", at.path(), target.size());
  expect(::symlink(target.c_str(), at.path().c_str()), at.node ? EEXIST : 0);
  if (at.node) return;
  const NodePointer node = new_node(Node::Kind::kSymlink, 0777);
  node->data = target;
  add_name(*at.directory, at.name, node);
  adopt_number(at.path(), *node);
}

void Writer::make_fifo() {
  const Entry at = place();
  const mode_t mode = any_mode(0600);
  describe("{} mode {:o}", at.path(), mode);
  expect(::mkfifo(at.path().c_str(), mode), at.node ? EEXIST : 0);
  if (at.node) return;
  const NodePointer node = new_node(Node::Kind::kFifo, mode);
  add_name(*at.directory, at.name, node);
  adopt_number(at.path(), *node);
}

// Of a name, or of a file that never had one.
void Writer::make_link() {
  const Entry at = place();
  const Handle* unnamed = any_handle([](const Handle& handle) { return handle.node->names == 0; });
  if (unnamed != nullptr && random_.chance(50)) {
    const std::string source = fmt::format("/proc/self/fd/{}", unnamed->fd.get());
    describe("descriptor {} as {}", unnamed->fd.get(), at.path());
    const int error = at.node ? EEXIST : unnamed->node->never_named ? 0 : ENOENT;
    expect(::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, at.path().c_str(), AT_SYMLINK_FOLLOW), error);
    if (error == 0) add_name(*at.directory, at.name, unnamed->node);
    return;
  }
  const Entry from = any_entry([](const Node& node) { return !node.is_directory(); });
  if (!from.node) return;
  describe("{} as {}", from.path(), at.path());
  expect(::link(from.path().c_str(), at.path().c_str()), at.node ? EEXIST : 0);
  if (!at.node) add_name(*at.directory, at.name, from.node);
}

// In the order in which the kernel asks (fs/namei.c, do_renameat2() and vfs_rename()), then the file system.
int Writer::rename_error(const Entry& from, const Entry& to, unsigned flags) const {
  const bool exchanges = (flags & RENAME_EXCHANGE) != 0;
  if ((flags & RENAME_NOREPLACE) != 0 && to.node) return EEXIST;
  if (exchanges && !to.node) return ENOENT;
  if (from.node->contains(*to.directory)) return EINVAL;
  if (to.node && to.node->contains(*from.directory)) return exchanges ? EINVAL : ENOTEMPTY;
  if (!to.node || exchanges || to.node == from.node) return 0;
  if (from.node->is_directory() && !to.node->is_directory()) return ENOTDIR;
  if (!from.node->is_directory() && to.node->is_directory()) return EISDIR;
  return to.node->children.empty() ? 0 : ENOTEMPTY;
}

void Writer::rename_entry() {
  const Entry from = any_entry([](const Node&) { return true; });
  if (!from.node) return;
  Entry to = place();
  if (random_.chance(30)) {
    const bool wants_directory = from.node->is_directory();
    const Entry taken = any_entry([&](const Node& node) { return node.is_directory() == wants_directory; });
    if (taken.node) to = taken;
  }
  const unsigned whiteout = features_.is_root ? RENAME_WHITEOUT : 0;
  const unsigned flags = random_.pick<unsigned>({0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, whiteout});
  describe("{} to {} flags {}", from.path(), to.path(), flags);
  if (to.directory->depth() + height(*from.node) >= kDepthMax + 2) return;
  if (to.node && from.directory->depth() + height(*to.node) >= kDepthMax + 2) return;
  const int error = rename_error(from, to, flags);
  expect(::renameat2(AT_FDCWD, from.path().c_str(), AT_FDCWD, to.path().c_str(), flags), error);
  if (error != 0 || from.node == to.node) return;
  remove_name(*from.directory, from.name);
  if (to.node) remove_name(*to.directory, to.name);
  add_name(*to.directory, to.name, from.node);
  if ((flags & RENAME_EXCHANGE) != 0) add_name(*from.directory, from.name, to.node);
  if ((flags & RENAME_WHITEOUT) != 0) {
    const NodePointer node = new_node(Node::Kind::kWhiteout, 0);
    add_name(*from.directory, from.name, node);
    adopt_number(from.path(), *node);
  }
}

void Writer::unlink_entry() {
  const Entry entry = any_entry([](const Node&) { return true; });
  if (!entry.node) return;
  describe("{}", entry.path());
  expect(::unlink(entry.path().c_str()), entry.node->is_directory() ? EISDIR : 0);
  if (!entry.node->is_directory()) remove_name(*entry.directory, entry.name);
}

void Writer::remove_directory() {
  const Entry entry = any_entry([](const Node& node) { return node.is_directory(); });
  if (!entry.node) return;
  describe("{}", entry.path());
  const bool is_empty = entry.node->children.empty();
  expect(::rmdir(entry.path().c_str()), is_empty ? 0 : ENOTEMPTY);
  if (is_empty) remove_name(*entry.directory, entry.name);
}

// A directory that takes many READDIRs.
void Writer::crowd() {
  Node& directory = any_directory();
  describe("{}", directory.path());
  if (entries([](const Node&) { return true; }).size() > 300) return;
  for (unsigned i = 0; i < 150; ++i) {
    const std::string prefix = directory.is_shared ? fmt::format("w{}_", number_) : "";
    const std::string name = fmt::format("{}crowd{}{}", prefix, i, std::string(random_.below(40), 'c'));
    if (directory.children.contains(name)) continue;
    const UniqueFd fd(::open((directory.path() + "/" + name).c_str(), kReadWrite | O_CREAT | O_EXCL, 0644));
    expect(fd.get());
    struct stat status{};
    expect(::fstat(fd.get(), &status));
    const NodePointer node = new_node(Node::Kind::kFile, 0644);
    node->ino = status.st_ino;
    add_name(directory, name, node);
  }
}

void Writer::remove_below(Node& directory) {
  while (!directory.children.empty()) {
    const auto [name, node] = *directory.children.begin();
    const std::string path = directory.path() + "/" + name;
    if (node->is_directory()) {
      remove_below(*node);
      expect(::rmdir(path.c_str()));
    } else {
      expect(::unlink(path.c_str()));
    }
    remove_name(directory, name);
  }
}

void Writer::remove_tree() {
  const Entry entry = any_entry([](const Node& node) { return node.is_directory(); });
  if (!entry.node) return;
  describe("{}", entry.path());
  remove_below(*entry.node);
  expect(::rmdir(entry.path().c_str()));
  remove_name(*entry.directory, entry.name);
}

}  // namespace ztmpfs
