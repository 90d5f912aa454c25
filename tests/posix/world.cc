#include "tests/posix/world.h"

#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace ztmpfs {

namespace {

int open_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), path);
  return fd;
}

}  // namespace

// Of this thread only: glibc's setgroups() would change all of them.
void become(const Identity& identity) {
  ::setfsuid(0);
  const gid_t group = identity.group;
  if (::syscall(SYS_setgroups, 1, &group) != 0) throw std::system_error(errno, std::generic_category(), "setgroups");
  ::setfsgid(identity.gid);
  ::setfsuid(identity.uid);
}

World::World(const std::string& directory, const std::string& shared, std::string prefix, bool is_reference)
    : root_(open_directory(directory)),
      shared_(open_directory(shared)),
      prefix_(std::move(prefix)),
      is_reference_(is_reference) {}

}  // namespace ztmpfs
