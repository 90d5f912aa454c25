#pragma once

#include <string>
#include <vector>

#include "base/image.h"
#include "daemon/options.h"

namespace ztmpfs {

/// The options of a server: its arguments behind the first, and what was changed since the mount was made (kept in the
/// image). Throws UsageError.
Options server_options(const std::vector<std::string>& arguments, const ImageFiles& image);

/// The server process, as the holder starts it: the first argument names its descriptors (server_descriptors.h), the
/// others are the options. Serves until the mount has ended. Returns the exit code.
int server_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
