// Modes, owners, times, and who may do what.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

uint32_t owner(Random& random) { return random.pick<uint32_t>({0, 1001, 1002, 3001, UINT32_MAX, UINT32_MAX}); }

void chmod(Call& call) {
  const Path path = call.path();
  const mode_t mode = call.mode();
  const int flags = call.random().chance(10) ? AT_SYMLINK_NOFOLLOW : 0;
  call.describe("chmod({}, {:#o}, {:#x})", path.shown, mode, flags);
  call.watch("file", path);
  call.begin();
  call.result("chmod", ::fchmodat(path.directory, path.c_str(), mode, flags));
}

void fchmod(Call& call) {
  const size_t slot = call.slot();
  const mode_t mode = call.mode();
  call.describe("fchmod([{}], {:#o})", slot, mode);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("fchmod", ::fchmod(call.fd(slot), mode));
}

// Of a stranger's, and with suid or sgid: tmpfs refuses it, since the bits would go; we are not told who asks for what
// (docs/posix.md, "Suid and sgid").
bool changes_nothing(uint32_t uid, uint32_t gid, const struct stat& status) {
  return uid == UINT32_MAX && gid == UINT32_MAX && (status.st_mode & (S_ISUID | S_ISGID)) != 0;
}

void chown(Call& call) {
  const Path path = call.path();
  const uint32_t uid = owner(call.random());
  const uint32_t gid = owner(call.random());
  const int flags = call.random().pick({0, AT_SYMLINK_NOFOLLOW, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1});
  struct stat status{};
  const int looked = ::fstatat(path.directory, path.c_str(), &status, flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  if (looked == 0 && changes_nothing(uid, gid, status)) return;
  call.describe("chown({}, {}, {}, {:#x})", path.shown, int32_t(uid), int32_t(gid), flags);
  call.watch("file", path);
  call.begin();
  call.result("chown", ::fchownat(path.directory, path.c_str(), uid, gid, flags));
}

void fchown(Call& call) {
  const size_t slot = call.slot();
  const uint32_t uid = owner(call.random());
  const uint32_t gid = owner(call.random());
  struct stat status{};
  if (::fstat(call.fd(slot), &status) == 0 && changes_nothing(uid, gid, status)) return;
  call.describe("fchown([{}], {}, {})", slot, int32_t(uid), int32_t(gid));
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("fchown", ::fchown(call.fd(slot), uid, gid));
}

std::array<timespec, 2> times(Call& call) { return {call.time(), call.time()}; }

void describe_times(Call& call, std::string_view what, std::string_view where, const std::array<timespec, 2>& set) {
  call.describe("{}({}, {}.{}, {}.{})", what, where, set[0].tv_sec, set[0].tv_nsec, set[1].tv_sec, set[1].tv_nsec);
}

void utimens(Call& call) {
  const Path path = call.path();
  const auto set = times(call);
  const bool is_now = call.random().chance(15);
  const int flags = call.random().pick({0, 0, AT_SYMLINK_NOFOLLOW, 1});
  describe_times(call, is_now ? "utimensat, now" : "utimensat", path.shown, set);
  call.watch("file", path);
  call.begin();
  call.result("utimensat", ::utimensat(path.directory, path.c_str(), is_now ? nullptr : set.data(), flags));
}

void futimens(Call& call) {
  const size_t slot = call.slot();
  const auto set = times(call);
  const bool is_now = call.random().chance(15);
  describe_times(call, is_now ? "futimens, now" : "futimens", fmt::format("[{}]", slot), set);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("futimens", ::futimens(call.fd(slot), is_now ? nullptr : set.data()));
}

// The system call itself: glibc answers some of it on its own.
void access(Call& call) {
  const Path path = call.path();
  const int mask = int(call.random().below(9));
  const int flags = call.random().pick({0, 0, AT_EACCESS, AT_SYMLINK_NOFOLLOW, 1});
  call.describe("faccessat2({}, {}, {:#x})", path.shown, mask, flags);
  call.begin();
  call.result("access", ::syscall(SYS_faccessat2, path.directory, path.c_str(), mask, flags));
}

void stat(Call& call) {
  const Path path = call.path();
  const bool follows = call.random().chance(50);
  call.describe("stat({}{})", path.shown, follows ? ", followed" : "");
  call.begin();
  struct stat status{};
  const int64_t done =
      call.result("stat", ::fstatat(path.directory, path.c_str(), &status, follows ? 0 : AT_SYMLINK_NOFOLLOW));
  if (done != 0) return;
  call.trace().add("mode", fmt::format("{:o}", status.st_mode));
  call.trace().add("size", status.st_size);
  // Whoever has bytes has blocks: archivers skip files without.
  if (S_ISDIR(status.st_mode)) call.trace().add("blocks", status.st_blocks);
}

void birth(Call& call) {
  const Path path = call.path();
  call.describe("statx({}, btime)", path.shown);
  call.begin();
  struct statx status{};
  const int64_t done =
      call.result("statx", ::statx(path.directory, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &status));
  if (done != 0) return;
  call.trace().add("has birth", (status.stx_mask & STATX_BTIME) != 0);
  // time(2) lags behind by a tick.
  call.trace().add("birth is past", status.stx_btime.tv_sec <= ::time(nullptr) + 1);
  call.trace().add("attributes", fmt::format("{:x}", status.stx_attributes & 0xffff));
}

void umask(Call& call) {
  const mode_t mask = call.random().pick<mode_t>({0, 022, 077, 027, 0777});
  call.describe("umask({:#o})", mask);
  call.begin();
  // Of the thread, and with it of both worlds.
  ::umask(mask);
}

constexpr OperationKind kOperations[] = {
    {"chmod", 25, chmod},     {"fchmod", 12, fchmod},     {"chown", 20, chown},   {"fchown", 10, fchown},
    {"utimens", 25, utimens}, {"futimens", 10, futimens}, {"access", 25, access}, {"stat", 30, stat},
    {"birth", 8, birth},      {"umask", 3, umask},
};

}  // namespace

std::span<const OperationKind> attribute_operations() { return kOperations; }

}  // namespace ztmpfs
