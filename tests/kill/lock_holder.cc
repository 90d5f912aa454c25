#include "tests/kill/lock_holder.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace ztmpfs {

namespace {

struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

LockHolder::LockHolder(const std::string& path) : path_(path) {
  fd_.reset(::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  std::array<int, 2> ends{};
  if (!fd_ || ::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), path);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct flock lock = whole_file();
    if (::fcntl(fd_.get(), F_SETLK, &lock) == 0 && ::write(writer.get(), "x", 1) == 1)
      while (true) ::pause();
    ::_exit(1);
  }
  writer.reset();
  char ready = 0;
  if (process_ < 0 || ::read(reader.get(), &ready, 1) != 1)
    throw std::system_error(errno, std::generic_category(), "cannot lock " + path);
}

LockHolder::~LockHolder() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

bool LockHolder::is_held() const {
  struct flock lock = whole_file();
  return ::fcntl(fd_.get(), F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == process_;
}

}  // namespace ztmpfs
