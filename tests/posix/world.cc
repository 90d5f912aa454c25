#include "tests/posix/world.h"

#include <fcntl.h>
#include <linux/capability.h>
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

// What a process of root's may do beyond its user ids; of this thread only.
void set_capabilities(bool has_all) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) throw std::system_error(errno, std::generic_category(), "capget");
  for (auto& word : data) word.effective = has_all ? word.permitted : 0;
  if (::syscall(SYS_capset, &header, data) != 0) throw std::system_error(errno, std::generic_category(), "capset");
}

}  // namespace

// Of this thread only: glibc's setgroups() would change all of them.
void become(const Identity& identity) {
  set_capabilities(true);
  ::setfsuid(0);
  const gid_t group = identity.group;
  if (::syscall(SYS_setgroups, 1, &group) != 0) throw std::system_error(errno, std::generic_category(), "setgroups");
  ::setfsgid(identity.gid);
  ::setfsuid(identity.uid);
  set_capabilities(identity.uid == 0);
}

World::World(const std::string& directory, const std::string& shared, std::string prefix, bool is_reference)
    : root_(open_directory(directory)),
      shared_(open_directory(shared)),
      prefix_(std::move(prefix)),
      is_reference_(is_reference) {}

}  // namespace ztmpfs
