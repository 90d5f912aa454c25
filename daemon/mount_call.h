#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// What mount(8) asks of a program /sbin/mount.TYPE (see "External helpers" there).
struct MountCall {
  std::vector<std::string> arguments;  ///< the same as arguments of `ztmpfs`
  bool is_pretended = false;           ///< mount --fake: everything but the mount itself
};

/// Whether the program was called as mount(8) calls it: `program`, its argv[0], is a path of some mount.TYPE.
bool is_called_by_mount(std::string_view program);

/// Takes `SOURCE DIRECTORY [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]` apart. There -f means something else
/// than to ztmpfs, and -s (tolerate unknown options) is not done: a misspelt `size=` must not go unnoticed. Throws
/// UsageError.
MountCall parse_mount_call(const std::vector<std::string>& arguments);

/// The command /sbin/mount.TYPE: what launcher_main() does, with the arguments of parse_mount_call().
int mount_call_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
