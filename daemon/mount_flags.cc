#include "daemon/mount_flags.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <ranges>

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
    Flag{"norelatime", 0, MS_RELATIME},
    Flag{"nostrictatime", 0, MS_STRICTATIME},
    Flag{"lazytime", MS_LAZYTIME, 0},
    Flag{"nolazytime", 0, MS_LAZYTIME},
    Flag{"nosymfollow", MS_NOSYMFOLLOW, 0},
    Flag{"symfollow", 0, MS_NOSYMFOLLOW},
    Flag{"silent", MS_SILENT, 0},
    Flag{"loud", 0, MS_SILENT},
};

// The last four are flags of the kernel without meaning for a file system in memory, or at all since Linux 5.15.
constexpr std::array<std::string_view, 18> kIgnored{
    "defaults", "auto",    "noauto", "nofail",  "_netdev", "user", "nouser", "users",    "nousers",
    "owner",    "noowner", "group",  "nogroup", "comment", "mand", "nomand", "iversion", "noiversion"};

// fusermount3 passes on no others; what is missing has no effect on a FUSE file system.
constexpr std::array<std::string_view, 9> kTakenByFusermount{"ro",     "suid",    "nosuid", "dev",    "nodev",
                                                             "noexec", "noatime", "sync",   "dirsync"};

}  // namespace

MountFlags default_mount_flags() { return MS_NOSUID | MS_NODEV; }

bool apply_mount_flag(std::string_view name, MountFlags& flags) {
  const auto* flag = std::ranges::find(kFlags, name, &Flag::name);
  if (flag == kFlags.end()) return false;
  flags = (flags & ~flag->clear) | flag->set;
  return true;
}

MountFlags parse_mount_flags(std::string_view options) {
  MountFlags flags = 0;
  for (const auto part : std::views::split(options, ',')) {
    const auto* flag = std::ranges::find(kFlags, std::string_view(part), &Flag::name);
    if (flag != kFlags.end()) flags |= flag->set;  // "rw" of one of the two takes nothing back from the other
  }
  return flags;
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

std::vector<std::string> fusermount_flag_names(MountFlags flags) {
  std::vector<std::string> names = mount_flag_names(flags);
  std::erase_if(names, [](const std::string& name) {
    return std::ranges::find(kTakenByFusermount, name) == kTakenByFusermount.end();
  });
  return names;
}

bool is_ignored_mount_option(std::string_view name) {
  return name.starts_with("x-") || name.starts_with("X-") || std::ranges::find(kIgnored, name) != kIgnored.end();
}

}  // namespace ztmpfs
