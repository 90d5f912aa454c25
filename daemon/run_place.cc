#include "daemon/run_place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/holder_client.h"
#include "base/runtime_dir.h"
#include "daemon/mount_table.h"
#include "daemon/mounter.h"
#include "daemon/name_lock.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kPrefix = "run-";
// Between the making of a directory and the locking of it.
constexpr time_t kNewSeconds = 60;
constexpr int kLayersMax = 16;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

std::string random_word() {
  constexpr std::string_view kLetters = "abcdefghijkmnpqrstuvwxyz23456789";  // 32 of them
  std::array<unsigned char, 6> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != ssize_t(bytes.size())) fail("cannot get random bytes");
  std::string word;
  for (const unsigned char byte : bytes) word += kLetters[byte % kLetters.size()];
  return word;
}

void make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) < 0 || ::chmod(path.c_str(), mode) < 0) fail("cannot make the directory " + path);
}

UniqueFd try_lock(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) < 0) fd.reset();
  return fd;
}

bool is_new(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && ::time(nullptr) - status.st_ctime < kNewSeconds;
}

bool is_gone(int result) { return result == 0 || errno == ENOENT; }

}  // namespace

RunPlace::RunPlace(std::string runtime_dir, std::string name)
    : runtime_dir_(std::move(runtime_dir)), name_(std::move(name)) {}

RunPlace RunPlace::choose() {
  const std::string directory = ztmpfs::runtime_dir();
  make_runtime_dir(directory);
  return {std::filesystem::canonical(directory).string(),
          std::string(kPrefix) + std::to_string(::getpid()) + "-" + random_word()};
}

UniqueFd RunPlace::make(bool is_open_to_others) const {
  make_directory(directory(), is_open_to_others ? 0755 : 0700);
  UniqueFd lock = try_lock(directory());
  if (!lock) fail("cannot lock " + directory());
  make_directory(mountpoint(), 0700);
  return lock;
}

void RunPlace::make_temporary() const { make_directory(temporary(), 01777); }

void RunPlace::make_work(bool is_open_to_others) const { make_directory(work(), is_open_to_others ? 0755 : 0700); }

bool RunPlace::remove() const {
  for (int layer = 0; layer < kLayersMax && find_mount(read_mount_table(), mountpoint()) != nullptr; ++layer)
    detach_mount(mountpoint());
  ::unlink(control_socket_path(runtime_dir_, name_).c_str());
  ::unlink(holder_socket_path(runtime_dir_, name_).c_str());
  NameLock::remove_file(NameLock::path(runtime_dir_, name_));
  return is_gone(::rmdir(mountpoint().c_str())) && is_gone(::rmdir(directory().c_str()));
}

void RunPlace::remove_abandoned() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_dir_, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || name == name_ || is_new(entry.path().string())) continue;
    if (const UniqueFd lock = try_lock(entry.path().string())) RunPlace(runtime_dir_, name).remove();
  }
}

}  // namespace ztmpfs
