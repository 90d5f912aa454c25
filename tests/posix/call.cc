#include "tests/posix/call.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <utility>

namespace ztmpfs {

namespace {

constexpr unsigned kWanted = STATX_BASIC_STATS | STATX_BTIME;
// A time this near to the clock was not set by an operation: those take others.
constexpr int64_t kNear = 24 * 3600;

bool look_at(int fd, struct statx& status) { return ::statx(fd, "", AT_EMPTY_PATH, kWanted, &status) == 0; }

auto order(const statx_timestamp& left, const statx_timestamp& right) {
  return std::pair(left.tv_sec, left.tv_nsec) <=> std::pair(right.tv_sec, right.tv_nsec);
}

char sign(const statx_timestamp& left, const statx_timestamp& right) {
  const auto result = order(left, right);
  return result < 0 ? '<' : result > 0 ? '>' : '=';
}

std::string raw(const statx_timestamp& time) { return fmt::format("{}.{:09}", time.tv_sec, time.tv_nsec); }

// tmpfs gives a directory the new time of the file that was linked or unlinked in it (mm/shmem.c, shmem_unlink), and
// that may be the same tick of the clock as the directory's last change: there, nobody sees that it has changed.
bool is_within_tick(const statx_timestamp& time) {
  constexpr int64_t kTick = 10'000'000;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return (now.tv_sec - time.tv_sec) * 1'000'000'000 + now.tv_nsec - int64_t(time.tv_nsec) < kTick;
}

// Times that were set are equal on both file systems, those of the clock are not.
std::string show(const statx_timestamp& time) {
  const int64_t distance = time.tv_sec - ::time(nullptr);
  if (distance > -kNear && distance < kNear) return "now";
  return raw(time);
}

}  // namespace

Call::Call(World& world, uint64_t seed, const CallOptions& options)
    : world_(world), random_(seed), options_(options), identity_(kIdentities[0]) {
  if (options.mixes_identities) {
    identity_ = kIdentities[random_.below(std::size(kIdentities))];
    describe("uid {}", identity_.uid);
  }
}

Call::~Call() { finish(); }

std::string Call::component() {
  const std::string letter(1, char('a' + random_.below(8)));
  switch (random_.below(100)) {
    case 0: return letter + std::string(NAME_MAX - 1, 'x');
    case 1: return letter + std::string(NAME_MAX, 'x');
    case 2: return letter + "\xc3\xa4 \n\x01";
    case 3: return letter + std::string(60 + random_.below(100), 'y');
    default: return letter;
  }
}

std::string Call::name() { return component(); }

Path Call::path() {
  if (random_.chance(4)) {
    Path path{.directory = world_.shared(), .text = world_.prefix() + component(), .is_shared = true, .shown = {}};
    path.shown = "shared/" + path.text;
    return path;
  }
  Path path{.directory = world_.root(), .text = {}, .is_shared = false, .shown = {}};
  std::string prefix;
  if (random_.chance(25)) {
    const size_t slot = random_.below(World::kSlots);
    if (world_.slots()[slot].fd && world_.slots()[slot].is_directory) {
      path.directory = fd(slot);
      prefix = fmt::format("[{}]/", slot);
    }
  }
  const uint64_t dice = random_.below(100);
  const uint64_t depth = dice < 55 ? 1 : dice < 88 ? 2 : 3;
  path.text = component();
  for (uint64_t i = 1; i < depth; ++i) path.text += "/" + component();
  switch (random_.below(60)) {
    case 0: path.text += "/"; break;
    case 1: path.text += "/."; break;
    case 2: path.text += "/.."; break;
    case 3: path.text = "./" + path.text; break;
    case 4: path.text = component() + "/../" + path.text; break;
    case 5: path.text += "//" + component(); break;
    case 6: path.text = "."; break;
    case 7:
      if (random_.chance(30)) path.text = "";
      break;
    case 8:
      if (random_.chance(30)) path.text = std::string(PATH_MAX - path.text.size() - random_.below(3), '/') + path.text;
      if (path.text[0] == '/') path.text[0] = '.';
      break;
    default: break;
  }
  path.shown = prefix + path.text;
  return path;
}

size_t Call::slot() {
  const size_t wanted = random_.below(World::kSlots);
  for (size_t i = 0; i < World::kSlots; ++i) {
    const size_t candidate = (wanted + i) % World::kSlots;
    if (fd(candidate) >= 0 || random_.chance(3)) return candidate;
  }
  return wanted;
}

int64_t Call::offset() {
  const uint64_t dice = random_.below(100);
  if (dice < 40) return int64_t(random_.below(200));
  if (dice < 65) return int64_t(random_.below(70'000));
  if (dice < 75) return int64_t(random_.below(300'000));
  if (dice < 90) return int64_t(4096 * random_.below(64) + random_.below(3)) - (random_.chance(50) ? 1 : 0);
  if (dice < 96) return (random_.pick({1L << 31, 1L << 32, 1L << 40, 1L << 62})) + int64_t(random_.below(70'000));
  if (dice < 98) return INT64_MAX - int64_t(random_.below(70'000));
  return random_.pick<int64_t>({-1, -4096, INT64_MIN, INT64_MAX, 0});
}

size_t Call::length() {
  const uint64_t dice = random_.below(100);
  if (dice < 3) return 0;
  if (dice < 45) return random_.below(300);
  if (dice < 75) return random_.below(9000);
  if (dice < 90) return 4096 * (1 + random_.below(8));
  return random_.below(100'000);
}

timespec Call::time() {
  const long nanoseconds = random_.pick<long>({0, 1, 999'999'999, 123'456'789});
  const time_t seconds = random_.pick<time_t>(
      {0, 1, -1, -1'000'000'000, 1'000'000'000, 2'147'483'647, 2'147'483'648, 4'294'967'296, 16'000'000'000});
  if (random_.chance(15)) return {.tv_sec = seconds, .tv_nsec = UTIME_NOW};
  if (random_.chance(15)) return {.tv_sec = seconds, .tv_nsec = UTIME_OMIT};
  if (random_.chance(3)) return {.tv_sec = seconds, .tv_nsec = random_.pick<long>({-1, 1'000'000'000})};
  return {.tv_sec = seconds, .tv_nsec = nanoseconds};
}

mode_t Call::mode() {
  const mode_t kept = options_.sets_ids ? 07777 : 01777;
  if (random_.chance(50)) return random_.pick<mode_t>({0644, 0755, 0777, 0700, 0600});
  if (random_.chance(50))
    return kept & random_.pick<mode_t>({04755, 02755, 01777, 02770, 06777, 04711, 02644, 0, 0111});
  return kept & mode_t(random_.below(010000));
}

// Without the identity of the operation, and with a descriptor that outlives the name.
void Call::watch_at(std::string_view role, const Path& path, int flags) {
  UniqueFd fd(::openat(path.directory, path.c_str(), O_PATH | O_CLOEXEC | flags));
  Watched watched{std::string(role), std::move(fd), false, {}};
  if (watched.fd && look_at(watched.fd.get(), watched.before)) watched_.push_back(std::move(watched));
}

void Call::watch(std::string_view role, const Path& path) {
  const std::string text(role);
  watch_at(text, path, O_NOFOLLOW);
  watch_at(text + ".followed", path, 0);
  const size_t end = path.text.find_last_not_of('/');
  if (end == std::string::npos || path.text.size() > PATH_MAX) return;
  const size_t slash = path.text.rfind('/', end);
  Path parent{path.directory, slash == std::string::npos ? "." : path.text.substr(0, slash + 1), false, {}};
  watch_at(text + ".parent", parent, O_DIRECTORY);
  if (path.is_shared && !watched_.empty() && watched_.back().role == text + ".parent") watched_.back().is_shared = true;
}

void Call::watch(std::string_view role, int fd) {
  if (fd < 0) return;
  Watched watched{std::string(role), UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)), false, {}};
  if (look_at(watched.fd.get(), watched.before)) watched_.push_back(std::move(watched));
}

void Call::begin() {
  has_begun_ = true;
  if (options_.mixes_identities) become(identity_);
  errno = 0;
}

int64_t Call::result(std::string_view label, int64_t result) {
  trace_.add_result(label, result, errno);
  return result;
}

int Call::opened(std::string_view label, int fd) {
  trace_.add_result(label, fd < 0 ? -1 : 0, errno);
  return fd;
}

void Call::keep(int fd) {
  if (fd < 0) return;
  World::Slot& slot = world_.slots()[random_.below(World::kSlots)];
  struct stat status{};
  slot.is_directory = ::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  slot.fd.reset(fd);
}

void Call::finish() {
  if (has_begun_ && options_.mixes_identities) become(kIdentities[0]);
  has_begun_ = false;
  for (const Watched& watched : watched_) {
    struct statx now{};
    if (look_at(watched.fd.get(), now)) add_attributes(watched.role, now, &watched.before, watched.is_shared);
  }
  watched_.clear();
}

void Call::look(std::string_view role, const Path& path) {
  struct statx now{};
  const int done = ::statx(path.directory, path.c_str(), AT_SYMLINK_NOFOLLOW, kWanted, &now);
  trace_.add_result(std::string(role) + ".exists", done, errno);
  if (done == 0) add_attributes(std::string(role), now, nullptr, false);
}

void Call::add_attributes(const std::string& role, const struct statx& now, const struct statx* before,
                          bool is_shared) {
  trace_.add(role + ".mode", fmt::format("{:o}", now.stx_mode));
  trace_.add(role + ".owner", fmt::format("{}:{}", now.stx_uid, now.stx_gid));
  trace_.add(role + ".rdev", fmt::format("{}:{}", now.stx_rdev_major, now.stx_rdev_minor));
  if (is_shared) return;
  trace_.add(role + ".nlink", now.stx_nlink);
  trace_.add(role + ".size", std::to_string(now.stx_size));
  if (!options_.times) return;
  const std::string times = role + (S_ISFIFO(now.stx_mode) ? ".fifo" : "");
  const bool is_directory = S_ISDIR(now.stx_mode);
  const bool is_coarse = is_directory && world_.is_reference();
  if (before != nullptr) {
    const auto changed = [&](const statx_timestamp& was, const statx_timestamp& is, char letter) {
      return order(was, is) != 0 ? letter : is_coarse && is_within_tick(was) ? '?' : '-';
    };
    trace_.add(times + ".changed", std::string{changed(before->stx_atime, now.stx_atime, 'a'),
                                               changed(before->stx_mtime, now.stx_mtime, 'm'),
                                               changed(before->stx_ctime, now.stx_ctime, 'c')});
  }
  const auto atime_sign = [&](const statx_timestamp& other) {
    const char found = sign(now.stx_atime, other);
    return is_directory && found == '=' ? '<' : found;
  };
  trace_.add(times + ".times", fmt::format("a{}m m{}c a{}c", atime_sign(now.stx_mtime),
                                           sign(now.stx_mtime, now.stx_ctime), atime_sign(now.stx_ctime)));
  trace_.note(role, fmt::format("inode {} a={} m={} c={}", now.stx_ino, raw(now.stx_atime), raw(now.stx_mtime),
                                raw(now.stx_ctime)));
  trace_.add(times + ".set",
             fmt::format("a={} m={} c={}", show(now.stx_atime), show(now.stx_mtime), show(now.stx_ctime)));
}

}  // namespace ztmpfs
