#include "daemon/first_open.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace ztmpfs {

void make_first_open(const std::string& mountpoint) {
  const std::string path = mountpoint + "/.ztmpfs-" + std::to_string(::getpid());
  if (!UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600))) return;
  UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)).reset();
  ::unlink(path.c_str());
}

void make_first_open_aside(const std::string& mountpoint) {
  const pid_t child = ::fork();
  if (child > 0) ::waitpid(child, nullptr, 0);
  if (child != 0) return;
  // The child's child is nobody's to wait for: it may hang if the server dies now. It must keep nothing open that
  // keeps the mount, or whoever reads our log, waiting.
  if (::fork() == 0) {
    ::close_range(0, ~0U, 0);
    make_first_open(mountpoint);
  }
  ::_exit(0);
}

}  // namespace ztmpfs
