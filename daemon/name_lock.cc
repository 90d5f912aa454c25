#include "daemon/name_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "base/runtime_dir.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::seconds kEndingMax{10};
// umount(8) has returned, and the server has not seen it yet.
constexpr std::chrono::milliseconds kStillAnsweringMax{300};
constexpr std::chrono::milliseconds kRetryInterval{20};

bool answers(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

// False if somebody removed the file between our open(2) and our flock(2): then our lock claims nothing.
bool is_file_at(int fd, const std::string& path) {
  struct stat ours{};
  struct stat there{};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &there) == 0 && ours.st_dev == there.st_dev &&
         ours.st_ino == there.st_ino;
}

// Opens and locks; an empty descriptor if somebody else has the lock.
UniqueFd try_lock(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) throw std::runtime_error("cannot make " + path + ": " + std::strerror(errno));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) return file;
  if (errno != EWOULDBLOCK) throw std::runtime_error("cannot lock " + path + ": " + std::strerror(errno));
  return {};
}

}  // namespace

NameLock::NameLock(const std::string& runtime_dir, const std::string& name) : path_(path(runtime_dir, name)) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    file_ = try_lock(path_);
    if (file_ && is_file_at(file_.get(), path_)) return;
    if (file_) continue;
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited > kEndingMax || (waited > kStillAnsweringMax && answers(control_socket_path(runtime_dir, name))))
      throw std::runtime_error("a ztmpfs named " + name + " is mounted already");
    std::this_thread::sleep_for(kRetryInterval);
  }
}

void NameLock::remove_file(const std::string& path) { ::unlink(path.c_str()); }

std::string NameLock::path(const std::string& runtime_dir, const std::string& name) {
  return runtime_dir + "/" + name + ".lock";
}

}  // namespace ztmpfs
