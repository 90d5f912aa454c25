#include "daemon/name_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace ztmpfs {

namespace {

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

std::optional<NameLock> NameLock::try_claim(const std::string& runtime_dir, const std::string& name) {
  const std::string file_path = path(runtime_dir, name);
  while (UniqueFd file = try_lock(file_path))
    if (is_file_at(file.get(), file_path)) return NameLock(runtime_dir, name, std::move(file));
  return std::nullopt;
}

NameLock::NameLock(const std::string& runtime_dir, const std::string& name, UniqueFd file)
    : path_(path(runtime_dir, name)), file_(std::move(file)) {}

void NameLock::remove_file(const std::string& path) { ::unlink(path.c_str()); }

std::string NameLock::path(const std::string& runtime_dir, const std::string& name) {
  return runtime_dir + "/" + name + ".lock";
}

}  // namespace ztmpfs
