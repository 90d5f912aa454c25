#include "base/runtime_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "base/umask_scope.h"

namespace ztmpfs {

namespace {

// The uid that the parent user namespace knows this process by: root of a namespace is somebody else outside, where it
// shares /tmp with others.
uid_t outer_uid() {
  std::ifstream map("/proc/self/uid_map");
  const uid_t uid = ::geteuid();
  for (uint64_t inside = 0, outside = 0, count = 0; map >> inside >> outside >> count;)
    if (uid >= inside && uid - inside < count) return uid_t(outside + uid - inside);
  return uid;
}

}  // namespace

std::string runtime_dir() {
  if (const char* chosen = std::getenv("ZTMPFS_RUNTIME_DIR"); chosen != nullptr && *chosen == '/') return chosen;
  // Root of a user namespace that a user has made may not write to /run.
  if (::geteuid() == 0 && ::access("/run", W_OK) == 0) return "/run/ztmpfs";
  if (const char* base = std::getenv("XDG_RUNTIME_DIR"); base != nullptr && *base == '/')
    return std::string(base) + "/ztmpfs";
  return "/tmp/ztmpfs-" + std::to_string(outer_uid());
}

std::string control_socket_path(const std::string& runtime_dir, const std::string& name) {
  return runtime_dir + "/" + name + kControlSocketSuffix;
}

void make_runtime_dir(const std::string& path) {
  const mode_t mode = ::geteuid() == 0 ? 0755 : 0700;
  int made = 0;
  {
    const UmaskScope as_asked(0);
    made = ::mkdir(path.c_str(), mode);
  }
  if (made < 0 && errno != EEXIST)
    throw std::runtime_error("cannot make the directory " + path + ": " + std::strerror(errno));
  struct stat status{};
  if (::lstat(path.c_str(), &status) < 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid())
    throw std::runtime_error(path + " is not a directory of this user");
}

}  // namespace ztmpfs
