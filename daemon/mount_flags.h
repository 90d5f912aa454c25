#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// The flags of mount(2) (MS_*) that users write as options: "ro", "noexec" and the like.
using MountFlags = unsigned long;

/// What a mount starts from: set-user-ID bits and device nodes count only when root asks for them.
MountFlags default_mount_flags();

/// Changes `flags` as the option `name` says. False if there is no such flag.
bool apply_mount_flag(std::string_view name, MountFlags& flags);

/// The flags of a mount from its options in /proc/self/mountinfo, those of the mount and of its file system together.
MountFlags parse_mount_flags(std::string_view options);

/// The options that lead from no flag at all to `flags`, for handing them on.
std::vector<std::string> mount_flag_names(MountFlags flags);

/// Those of them that fusermount3 takes; it refuses the others.
std::vector<std::string> fusermount_flag_names(MountFlags flags);

/// True for what only mount(8) and fstab need: "defaults", "nofail", "x-..." and the like.
bool is_ignored_mount_option(std::string_view name);

}  // namespace ztmpfs
