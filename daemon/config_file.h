#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// What the configuration of a mount says: CONFIG_DIR/NAME.toml, then CONFIG_DIR/NAME.toml.d/*.toml in the order of
/// their names.
struct MountConfig {
  std::string directory;          ///< where it was looked for
  std::vector<Setting> settings;  ///< in order: a later one wins; without what a later file takes back
  std::optional<Setting> mountpoint{};
  bool exists = false;  ///< there is a file of it
};

/// Reads the configuration of the mount `name`: of an ordinary user from Surroundings::user_config_dir if there is one
/// of this name, else from Surroundings::config_dir. Keys are the names of the options, and `mountpoint`, an absolute
/// path. `key = true` sets an option without value, `key = false` takes back what an earlier file says. A file that is
/// not there says nothing. Throws UsageError with file, line and key for what cannot be read or makes no sense by
/// itself; what the values mean is resolve_options()' business.
MountConfig read_mount_config(const Surroundings& surroundings, const std::string& name);

/// The names of the other configurations of `directory` that have the mount point `path`, sorted. Those that cannot be
/// read are left out.
std::vector<std::string> configs_with_mountpoint(const std::string& directory, const std::string& path,
                                                 const std::string& but_not);

}  // namespace ztmpfs
