#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// The settings of CONFIG_DIR/NAME.toml, whose keys are the names of the options; empty if there is no such file.
/// `key = true` sets an option without value, `key = false` leaves it out. Throws UsageError with the place for what
/// cannot be read.
std::vector<Setting> read_config_file(const std::string& config_dir, const std::string& name);

}  // namespace ztmpfs
