#pragma once

#include <string>
#include <vector>

namespace ztmpfs {

/// The server process, as the holder starts it: the first argument names its descriptors (server_descriptors.h), the
/// others are the options. Serves until the mount has ended. Returns the exit code.
int server_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
