// Descriptors that come and go: open, O_TMPFILE, close, and what descriptors are asked for.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/fs.h>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

// A FIFO must not wait for its other end.
constexpr int kAlways = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

int open_flags(Random& random) {
  int flags = random.pick({O_RDONLY, O_RDWR, O_RDWR, O_WRONLY, O_RDONLY});
  if (random.chance(1)) flags = O_ACCMODE;
  static constexpr struct {
    int flag;
    unsigned percent;
  } kFlags[] = {{O_CREAT, 50}, {O_EXCL, 12},  {O_TRUNC, 15}, {O_APPEND, 15}, {O_DIRECTORY, 8}, {O_NOFOLLOW, 10},
                {O_PATH, 3},   {O_DIRECT, 3}, {O_SYNC, 3},   {O_DSYNC, 3},   {O_NOATIME, 3}};
  for (const auto& [flag, percent] : kFlags)
    if (random.chance(percent)) flags |= flag;
  return flags;
}

// A file made through a link that hangs has a parent that nobody has looked at since; its times must not be taken for
// unchanged when they change again (multigrain times: only what was looked at gets a new value within a tick).
void look_at_parent(int fd) {
  char target[PATH_MAX];
  const ssize_t length = ::readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), target, sizeof(target));
  if (length <= 0) return;
  const std::string_view path(target, size_t(length));
  struct stat status{};
  ::stat(std::string(path.substr(0, path.rfind('/'))).c_str(), &status);
}

void open(Call& call) {
  const Path path = call.path();
  const int flags = open_flags(call.random());
  const mode_t mode = call.mode();
  call.describe("open({}, {:#o}, {:#o})", path.shown, flags, mode);
  call.watch("file", path);
  call.begin();
  const int fd = call.opened("open", ::openat(path.directory, path.c_str(), flags | kAlways, mode));
  call.finish();
  if (fd >= 0 && (flags & O_CREAT) != 0) look_at_parent(fd);
  call.keep(fd);
  call.look("file", path);
}

void tmpfile(Call& call) {
  const Path path = call.path();
  const int flags = O_TMPFILE | call.random().pick({O_RDWR, O_RDWR, O_WRONLY, O_RDONLY, O_RDWR | O_EXCL});
  const mode_t mode = call.mode();
  call.describe("open({}, {:#o}, {:#o})", path.shown, flags, mode);
  call.watch("directory", path);
  call.begin();
  const int fd = call.opened("open", ::openat(path.directory, path.c_str(), flags | kAlways, mode));
  call.finish();
  if (fd >= 0) {
    call.watch("tmpfile", fd);
    call.finish();
  }
  call.keep(fd);
}

void close(Call& call) {
  const size_t slot = call.slot();
  call.describe("close([{}])", slot);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("close", ::close(call.world().slots()[slot].fd.release()));
}

void duplicate(Call& call) {
  const size_t slot = call.slot();
  call.describe("dup([{}])", slot);
  call.begin();
  const int fd = call.opened("dup", ::fcntl(call.fd(slot), F_DUPFD_CLOEXEC, 0));
  call.finish();
  call.keep(fd);
}

void status_flags(Call& call) {
  const size_t slot = call.slot();
  const int flags = call.random().pick({O_APPEND, 0, O_NOATIME, O_DIRECT, O_APPEND | O_DIRECT});
  call.describe("fcntl([{}], F_SETFL, {:#o})", slot, flags);
  call.begin();
  call.result("setfl", ::fcntl(call.fd(slot), F_SETFL, flags | O_NONBLOCK));
  call.result("getfl", ::fcntl(call.fd(slot), F_GETFL));
}

void synchronize(Call& call) {
  const size_t slot = call.slot();
  const uint64_t kind = call.random().below(4);
  call.describe("fsync, fdatasync, syncfs or sync_file_range ({}) of [{}]", kind, slot);
  call.watch("file", call.fd(slot));
  call.begin();
  const int fd = call.fd(slot);
  switch (kind) {
    case 0: call.result("fsync", ::fsync(fd)); break;
    case 1: call.result("fdatasync", ::fdatasync(fd)); break;
    case 2: call.result("syncfs", ::syncfs(fd)); break;
    default: call.result("sync_file_range", ::sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE)); break;
  }
}

void statfs(Call& call) {
  const size_t slot = call.slot();
  call.describe("fstatfs([{}])", slot);
  call.begin();
  struct statfs status{};
  if (call.result("fstatfs", ::fstatfs(call.fd(slot), &status)) != 0) return;
  call.trace().add("namelen", status.f_namelen);
  call.trace().add("bsize", status.f_bsize);
  call.trace().add("frsize", status.f_frsize);
  call.trace().add("is sane", status.f_bfree <= status.f_blocks && status.f_bavail <= status.f_bfree &&
                                  status.f_ffree <= status.f_files && status.f_ffree > 0);
}

void inode_flags(Call& call) {
  const size_t slot = call.slot();
  const bool sets = call.random().chance(40);
  int wanted = call.random().pick({0, FS_NODUMP_FL, FS_NOATIME_FL, FS_NODUMP_FL | FS_NOATIME_FL, FS_COMPR_FL, -1});
  call.describe("ioctl([{}], FS_IOC_{}FLAGS, {:#x})", slot, sets ? "SET" : "GET", wanted);
  call.watch("file", call.fd(slot));
  call.begin();
  if (sets) call.result("setflags", ::ioctl(call.fd(slot), FS_IOC_SETFLAGS, &wanted));
  int flags = 0;
  if (call.result("getflags", ::ioctl(call.fd(slot), FS_IOC_GETFLAGS, &flags)) == 0) call.trace().add("flags", flags);
}

constexpr OperationKind kOperations[] = {
    {"open", 120, open},        {"tmpfile", 12, tmpfile},  {"close", 25, close},  {"dup", 5, duplicate},
    {"setfl", 5, status_flags}, {"fsync", 6, synchronize}, {"statfs", 3, statfs}, {"flags", 5, inode_flags},
};

}  // namespace

std::span<const OperationKind> open_operations() { return kOperations; }

}  // namespace ztmpfs
