#pragma once

#include <string>
#include <vector>

namespace ztmpfs {

/// The command `ztmpfs`: parses the arguments (without the program's name), mounts, and returns the exit code. In the
/// background it returns when the mount is usable and leaves the holder behind; in the foreground it becomes the holder
/// and returns when the mount has ended. Prints one sentence on stderr when it fails.
int launcher_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
