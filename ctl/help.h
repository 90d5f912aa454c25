#pragma once

#include <string>

#include "ctl/commands.h"

namespace ztmpfs {

/// ztmpfsctl --help
std::string help_text();

/// ztmpfsctl COMMAND --help
std::string help_text(const Command& command);

/// "ztmpfsctl [--json] shrink [NAME|MOUNTPOINT] BYTES"
std::string usage_line(const Command& command);

}  // namespace ztmpfs
