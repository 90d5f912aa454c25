// Directories as they are read, and what is known about files without their names.
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

struct Entry {
  std::string name;
  unsigned char type;
  off64_t next;  // where the directory goes on behind it

  bool operator==(const Entry&) const = default;
};

// From the descriptor's position to the end; errno as the result if that fails.
int read_entries(int fd, size_t buffer_size, std::vector<Entry>& entries) {
  std::vector<char> buffer(buffer_size);
  while (true) {
    const long length = ::syscall(SYS_getdents64, fd, buffer.data(), buffer.size());
    if (length <= 0) return length == 0 ? 0 : errno;
    for (long at = 0; at < length;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      entries.push_back({entry->d_name, entry->d_type, entry->d_off});
      at += entry->d_reclen;
    }
  }
}

std::string as_set(std::vector<Entry> entries) {
  std::ranges::sort(entries, {}, &Entry::name);
  std::string text;
  for (const Entry& entry : entries) text += fmt::format("{}:{} ", entry.name, entry.type);
  return text;
}

// The directory, and once more from somewhere in the middle: what comes must be the same.
void list(Call& call, int fd) {
  const size_t buffer_size = call.random().pick<size_t>({300, 600, 4096, 65536});
  const uint64_t middle = call.random().next();
  ::lseek(fd, 0, SEEK_SET);
  std::vector<Entry> entries;
  const int error = read_entries(fd, buffer_size, entries);
  errno = error;
  call.result("getdents", error == 0 ? 0 : -1);
  call.trace().add("entries", as_set(entries));
  if (entries.empty()) return;
  const size_t begin = middle % entries.size();
  errno = 0;
  const bool is_there = ::lseek(fd, entries[begin].next, SEEK_SET) == entries[begin].next;
  call.trace().add("seekdir", is_there ? "there" : "elsewhere");
  std::vector<Entry> rest;
  read_entries(fd, buffer_size, rest);
  const bool is_same = std::equal(entries.begin() + ptrdiff_t(begin) + 1, entries.end(), rest.begin(), rest.end());
  call.trace().add("rest", is_same ? "the same" : as_set(rest));
  ::lseek(fd, 0, SEEK_SET);
}

void readdir(Call& call) {
  const Path path = call.path();
  call.describe("readdir({})", path.shown);
  // Others may be at work there.
  if (path.is_shared && path.text.find('/') == std::string::npos) return;
  call.watch("directory", path);
  call.begin();
  const UniqueFd fd(::openat(path.directory, path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  call.opened("open", fd.get());
  if (fd) list(call, fd.get());
}

void readdir_open(Call& call) {
  const size_t slot = call.slot();
  call.describe("readdir([{}])", slot);
  call.begin();
  if (!call.world().slots()[slot].is_directory) {
    char buffer[512];
    call.result("getdents", ::syscall(SYS_getdents64, call.fd(slot), buffer, sizeof(buffer)));
    return;
  }
  if ((::fcntl(call.fd(slot), F_GETFL) & O_PATH) == 0) list(call, call.fd(slot));
}

// Without links in between, so that nobody else's file is meant.
void handle(Call& call) {
  const Path path = call.path();
  call.describe("name_to_handle_at({})", path.shown);
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* identity = reinterpret_cast<file_handle*>(space);
  identity->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  const int64_t done =
      call.result("name_to_handle_at", ::name_to_handle_at(path.directory, path.c_str(), identity, &mount, 0));
  if (done != 0) return;
  const UniqueFd fd(::open_by_handle_at(call.world().root(), identity, O_PATH | O_CLOEXEC));
  if (call.opened("open_by_handle_at", fd.get()) < 0) return;
  struct stat by_name{};
  struct stat by_handle{};
  ::fstatat(path.directory, path.c_str(), &by_name, AT_SYMLINK_NOFOLLOW);
  ::fstat(fd.get(), &by_handle);
  call.trace().add("inode", by_name.st_ino == by_handle.st_ino ? "the same" : "another");
}

// Two names: one file, or two?
void same_inode(Call& call) {
  const Path one = call.path();
  const Path other = call.path();
  call.describe("is {} the same as {}", one.shown, other.shown);
  struct stat first{};
  struct stat second{};
  const bool known = call.result("one", ::fstatat(one.directory, one.c_str(), &first, AT_SYMLINK_NOFOLLOW)) == 0 &&
                     call.result("other", ::fstatat(other.directory, other.c_str(), &second, AT_SYMLINK_NOFOLLOW)) == 0;
  if (known) call.trace().add("inode", first.st_ino == second.st_ino ? "the same" : "another");
}

constexpr OperationKind kOperations[] = {{"readdir", 25, readdir},
                                         {"readdir_open", 10, readdir_open},
                                         {"handle", 6, handle},
                                         {"same_inode", 10, same_inode}};

}  // namespace

std::span<const OperationKind> directory_operations() { return kOperations; }

}  // namespace ztmpfs
