// Where contents lie and where they do not: sizes, allocation, holes, copies.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

// truncate(2) has no *at(): through the descriptor's name in /proc, which is padded to one length in both worlds.
std::string full_name(const Path& path) { return fmt::format("/proc/self/fd/{:/>6}/{}", path.directory, path.text); }

void truncate(Call& call) {
  const Path path = call.path();
  const int64_t size = call.offset();
  const std::string name = full_name(path);
  struct stat status{};
  const bool is_file = ::stat(name.c_str(), &status) == 0 && S_ISREG(status.st_mode);
  const bool stays = call.random().chance(10) ? is_file : is_file && status.st_size == size;
  call.describe("truncate({}, {})", path.shown, stays ? status.st_size : size);
  // To the size that it has: the times change if there are pages, and tmpfs has pages where we have none
  // (docs/posix.md, "Times"): afterwards both have the same times again.
  if (!stays) call.watch("file", path);
  call.begin();
  const int64_t done = call.result("truncate", ::truncate(name.c_str(), stays ? status.st_size : size));
  call.finish();
  if (stays && done == 0) ::utimensat(path.directory, path.c_str(), nullptr, 0);
  call.watch("file", path);
}

void ftruncate(Call& call) {
  const size_t slot = call.slot();
  const int64_t size = call.offset();
  call.describe("ftruncate([{}], {})", slot, size);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("ftruncate", ::ftruncate(call.fd(slot), size));
}

int fallocate_mode(Random& random) {
  if (random.chance(90)) {
    constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return random.pick({0, 0, FALLOC_FL_KEEP_SIZE, kPunch, kPunch, kPunch});
  }
  return random.pick({FALLOC_FL_PUNCH_HOLE, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE,
                      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 1 << 20, -1});
}

// Allocation takes memory: short ranges, or such as nobody has room for.
void fallocate(Call& call) {
  const size_t slot = call.slot();
  const int mode = fallocate_mode(call.random());
  const int64_t offset = call.offset();
  const int64_t length =
      call.random().chance(95) ? int64_t(call.length()) : call.random().pick<int64_t>({-1, INT64_MAX, 1L << 50});
  call.describe("fallocate([{}], {:#x}, {}, {})", slot, mode, offset, length);
  // The kernel takes suid and sgid away before we can say that there is no room (docs/posix.md, "Suid and sgid").
  struct stat status{};
  const bool fails_late = ::fstat(call.fd(slot), &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0;
  if (fails_late && length > (1L << 40)) return;
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("fallocate", ::fallocate(call.fd(slot), mode, offset, length));
}

// tmpfs does not know FALLOC_FL_ZERO_RANGE: there, what it should come to is done by hand.
void zero_range(Call& call) {
  const size_t slot = call.slot();
  const int64_t offset = int64_t(call.random().below(100'000));
  const int64_t length = 1 + int64_t(call.random().below(50'000));
  const bool keeps_size = call.random().chance(50);
  call.describe("fallocate([{}], ZERO_RANGE{}, {}, {})", slot, keeps_size ? "|KEEP_SIZE" : "", offset, length);
  const int fd = call.fd(slot);
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return;
  const int access = ::fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH);
  if (access != O_RDWR && access != O_WRONLY) return;
  const int keep = keeps_size ? FALLOC_FL_KEEP_SIZE : 0;
  if (!call.world().is_reference()) {
    call.result("fallocate", ::fallocate(fd, FALLOC_FL_ZERO_RANGE | keep, offset, length));
  } else {
    const int punched = ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
    call.result("fallocate", punched == 0 ? ::fallocate(fd, keep, offset, length) : punched);
  }
  call.watch("file", fd);
}

bool is_zero(int fd, int64_t begin, int64_t end) {
  constexpr int64_t kLooked = 256 * 1024;
  std::string buffer(size_t(std::min(kLooked, std::max<int64_t>(end - begin, 0))), '\0');
  for (const int64_t from : {begin, end - int64_t(buffer.size())}) {
    const ssize_t length = ::pread(fd, buffer.data(), buffer.size(), from);
    const auto* last = buffer.data() + std::max<ssize_t>(length, 0);
    if (std::any_of(static_cast<const char*>(buffer.data()), last, [](char byte) { return byte != 0; })) return false;
  }
  return true;
}

// Where data and holes begin is up to the file system, as long as what it calls a hole reads as zeros.
void seek_space(Call& call, int whence) {
  const size_t slot = call.slot();
  const int64_t offset = call.offset();
  const int fd = call.fd(slot);
  struct stat status{};
  if (::fstat(fd, &status) != 0 || S_ISDIR(status.st_mode)) return;
  call.describe("lseek([{}], {}, {}) of {} bytes", slot, offset, whence == SEEK_DATA ? "SEEK_DATA" : "SEEK_HOLE",
                status.st_size);
  call.begin();
  const int64_t found = ::lseek(fd, offset, whence);
  const bool is_end = found < 0 && errno == ENXIO && offset >= 0 && offset < status.st_size;
  call.result("seek", found);
  if (S_ISREG(status.st_mode) && (found >= 0 || is_end)) {
    const int64_t end = is_end ? status.st_size : found;
    const int flags = ::fcntl(fd, F_GETFL);
    const bool is_readable = (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_WRONLY;
    call.trace().add("found", end >= offset && end <= status.st_size ? "within" : "outside");
    const int64_t data = ::lseek(fd, end, SEEK_DATA);
    const int64_t begin = whence == SEEK_DATA ? offset : end;
    const int64_t hole_end = whence == SEEK_DATA ? end : data >= 0 ? data : status.st_size;
    call.trace().add("hole", !is_readable || is_zero(fd, begin, hole_end) ? "zeros" : "data");
  }
  if (S_ISREG(status.st_mode)) ::lseek(fd, 0, SEEK_SET);
}

void seek_data(Call& call) { seek_space(call, SEEK_DATA); }
void seek_hole(Call& call) { seek_space(call, SEEK_HOLE); }

void copy_file_range(Call& call) {
  const size_t from = call.slot();
  const size_t to = call.slot();
  off64_t source = call.offset();
  off64_t target = call.offset();
  const size_t length = call.random().chance(98) ? call.length() : SIZE_MAX;
  const unsigned flags = call.random().chance(3) ? 1 : 0;
  const bool uses_positions = call.random().chance(30);
  call.describe("copy_file_range([{}], {}, [{}], {}, {}, {})", from, uses_positions ? -1 : source, to,
                uses_positions ? -1 : target, length, flags);
  call.watch("source", call.fd(from));
  call.watch("target", call.fd(to));
  call.begin();
  call.result("copy", ::copy_file_range(call.fd(from), uses_positions ? nullptr : &source, call.fd(to),
                                        uses_positions ? nullptr : &target, length, flags));
  if (uses_positions) return;
  call.trace().add("offsets", fmt::format("{} {}", source, target));
}

constexpr OperationKind kOperations[] = {
    {"truncate", 20, truncate},    {"ftruncate", 25, ftruncate}, {"fallocate", 20, fallocate},
    {"zero_range", 6, zero_range}, {"seek_data", 8, seek_data},  {"seek_hole", 8, seek_hole},
    {"copy", 20, copy_file_range},
};

}  // namespace

std::span<const OperationKind> space_operations() { return kOperations; }

}  // namespace ztmpfs
