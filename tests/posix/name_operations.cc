// Names that come, go and move.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

void mkdir(Call& call) {
  const Path path = call.path();
  const mode_t mode = call.mode();
  call.describe("mkdir({}, {:#o})", path.shown, mode);
  call.watch("directory", path);
  call.begin();
  call.result("mkdir", ::mkdirat(path.directory, path.c_str(), mode));
  call.finish();
  call.look("directory", path);
}

void mknod(Call& call) {
  const Path path = call.path();
  const mode_t type =
      call.random().pick<mode_t>({S_IFIFO, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, 0, S_IFDIR, S_IFLNK, 0150000});
  const mode_t mode = type | call.mode();
  // None that does something when it is opened.
  const dev_t device = call.random().pick({makedev(1, 3), makedev(1, 5), makedev(0, 0), makedev(4000, 1'000'000)});
  call.describe("mknod({}, {:#o}, {}:{})", path.shown, mode, major(device), minor(device));
  call.watch("node", path);
  call.begin();
  call.result("mknod", ::mknodat(path.directory, path.c_str(), mode, device));
  call.finish();
  call.look("node", path);
}

std::string link_target(Call& call) {
  Random& random = call.random();
  switch (random.below(20)) {
    case 0: return "";
    case 1: return ".";
    case 2: return (call.options().has_company ? "" : "../") + call.name();
    case 3: return std::string(PATH_MAX - 1, 'z');
    case 4: return std::string(PATH_MAX, 'z');
    case 5: return call.name() + "/";
    case 6: return std::string(1 + random.below(200), 'y') + "/missing";  // never "/missing" itself
    default: return random.chance(60) ? call.name() : call.name() + "/" + call.name();
  }
}

// Symbolic links in the shared directory would lead to names that other threads use.
bool brings_link(const Path& from, const Path& to) {
  if (from.is_shared == to.is_shared) return false;
  struct stat status{};
  const auto is_link = [&](const Path& path) {
    return ::fstatat(path.directory, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
  };
  return is_link(from) || is_link(to);
}

void symlink(Call& call) {
  const std::string target = link_target(call);
  const Path path = call.path();
  if (path.is_shared) return;
  call.describe("symlink({}, {})", target.substr(0, 40), path.shown);
  call.watch("link", path);
  call.begin();
  call.result("symlink", ::symlinkat(target.c_str(), path.directory, path.c_str()));
  call.finish();
  call.look("link", path);
}

void readlink(Call& call) {
  const Path path = call.path();
  std::string buffer(call.random().pick<size_t>({PATH_MAX, PATH_MAX, 1, 10, 0}), '?');
  call.describe("readlink({}, {})", path.shown, buffer.size());
  call.watch("link", path);
  call.begin();
  const int64_t length =
      call.result("readlink", ::readlinkat(path.directory, path.c_str(), buffer.data(), buffer.size()));
  if (length >= 0) call.trace().add("target", buffer.substr(0, size_t(length)));
}

void link(Call& call) {
  const Path from = call.path();
  const Path to = call.path();
  const int flags = call.random().pick({0, 0, 0, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH, 0x8});
  if (brings_link(from, to)) return;
  call.describe("linkat({}, {}, {:#x})", from.shown, to.shown, flags);
  call.watch("source", from);
  call.watch("target", to);
  call.begin();
  call.result("linkat", ::linkat(from.directory, from.c_str(), to.directory, to.c_str(), flags));
  call.finish();
  call.look("target", to);
}

// Gives a name to what is open: a temporary file, say, or one that was removed.
void link_descriptor(Call& call) {
  const size_t slot = call.slot();
  const Path to = call.path();
  if (to.is_shared) return;
  const bool by_number = call.random().chance(50);
  call.describe("linkat([{}], {}, {})", slot, to.shown, by_number ? "AT_EMPTY_PATH" : "AT_SYMLINK_FOLLOW");
  call.watch("source", call.fd(slot));
  call.watch("target", to);
  call.begin();
  const std::string name = fmt::format("/proc/self/fd/{}", call.fd(slot));
  call.result("linkat", by_number ? ::linkat(call.fd(slot), "", to.directory, to.c_str(), AT_EMPTY_PATH)
                                  : ::linkat(AT_FDCWD, name.c_str(), to.directory, to.c_str(), AT_SYMLINK_FOLLOW));
  call.finish();
  call.look("target", to);
}

void remove(Call& call, int flags, std::string_view name) {
  const Path path = call.path();
  call.describe("{}({})", name, path.shown);
  call.watch("file", path);
  call.begin();
  call.result(name, ::unlinkat(path.directory, path.c_str(), flags));
  call.finish();
  call.look("file", path);
}

void unlink(Call& call) { remove(call, 0, "unlink"); }
void rmdir(Call& call) { remove(call, AT_REMOVEDIR, "rmdir"); }

void rename_with(Call& call, unsigned flags) {
  const Path from = call.path();
  const Path to = call.path();
  if (brings_link(from, to)) return;
  call.describe("renameat2({}, {}, {:#x})", from.shown, to.shown, flags);
  call.watch("source", from);
  call.watch("target", to);
  call.begin();
  call.result("rename", ::renameat2(from.directory, from.c_str(), to.directory, to.c_str(), flags));
  call.finish();
  call.look("source", from);
  call.look("target", to);
}

void rename(Call& call) { rename_with(call, 0); }

void rename_flags(Call& call) {
  rename_with(call, call.random().pick<unsigned>({RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_EXCHANGE,
                                                  RENAME_NOREPLACE | RENAME_EXCHANGE, 1 << 7}));
}

void rename_whiteout(Call& call) {
  rename_with(call, call.random().pick<unsigned>(
                        {RENAME_WHITEOUT, RENAME_WHITEOUT | RENAME_NOREPLACE, RENAME_WHITEOUT | RENAME_EXCHANGE}));
}

constexpr OperationKind kOperations[] = {
    {"mkdir", 60, mkdir},
    {"mknod", 20, mknod},
    {"symlink", 25, symlink},
    {"readlink", 12, readlink},
    {"link", 30, link},
    {"link_open", 12, link_descriptor},
    {"unlink", 40, unlink},
    {"rmdir", 30, rmdir},
    {"rename", 60, rename},
    {"rename_flags", 25, rename_flags},
    {"whiteout", 6, rename_whiteout},
};

}  // namespace

std::span<const OperationKind> name_operations() { return kOperations; }

}  // namespace ztmpfs
