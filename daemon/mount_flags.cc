#include "daemon/mount_flags.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

namespace ztmpfs {

namespace {

struct Flag {
  std::string_view name;
  MountFlags set;
  MountFlags clear;
};

constexpr MountFlags kAtimeFlags = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;

// mount(8), "filesystem-independent mount options". The restricting name of a pair stands first.
constexpr std::array kFlags{
    Flag{"ro", MS_RDONLY, 0},
    Flag{"rw", 0, MS_RDONLY},
    Flag{"nosuid", MS_NOSUID, 0},
    Flag{"suid", 0, MS_NOSUID},
    Flag{"nodev", MS_NODEV, 0},
    Flag{"dev", 0, MS_NODEV},
    Flag{"noexec", MS_NOEXEC, 0},
    Flag{"exec", 0, MS_NOEXEC},
    Flag{"noatime", MS_NOATIME, kAtimeFlags},
    Flag{"atime", 0, MS_NOATIME},
    Flag{"relatime", MS_RELATIME, kAtimeFlags},
    Flag{"strictatime", MS_STRICTATIME, kAtimeFlags},
    Flag{"nodiratime", MS_NODIRATIME, 0},
    Flag{"diratime", 0, MS_NODIRATIME},
    Flag{"sync", MS_SYNCHRONOUS, 0},
    Flag{"async", 0, MS_SYNCHRONOUS},
    Flag{"dirsync", MS_DIRSYNC, 0},
};

constexpr std::array<std::string_view, 9> kIgnored{"defaults", "auto",   "noauto", "nofail", "_netdev",
                                                   "user",     "nouser", "users",  "owner"};

}  // namespace

MountFlags default_mount_flags() { return MS_NOSUID | MS_NODEV; }

bool apply_mount_flag(std::string_view name, MountFlags& flags) {
  const auto* flag = std::ranges::find(kFlags, name, &Flag::name);
  if (flag == kFlags.end()) return false;
  flags = (flags & ~flag->clear) | flag->set;
  return true;
}

std::vector<std::string> mount_flag_names(MountFlags flags) {
  std::vector<std::string> names;
  // What is not said would be the default again: suid and dev have to be.
  if ((flags & MS_NOSUID) == 0) names.emplace_back("suid");
  if ((flags & MS_NODEV) == 0) names.emplace_back("dev");
  for (const Flag& flag : kFlags)
    if (flag.set != 0 && (flags & flag.set) == flag.set) names.emplace_back(flag.name);
  return names;
}

bool is_ignored_mount_option(std::string_view name) {
  return name.starts_with("x-") || name.starts_with("X-") || std::ranges::find(kIgnored, name) != kIgnored.end();
}

}  // namespace ztmpfs
