#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/options.h"
#include "daemon/service_protocol.h"

namespace ztmpfs {

/// The command `ztmpfs`: parses the arguments (without the program's name), mounts, and returns the exit code. In the
/// background it returns when the mount is usable and leaves the holder behind; in the foreground it becomes the holder
/// and returns when the mount has ended. Prints one sentence on stderr when it fails.
int launcher_main(const std::vector<std::string>& arguments);

/// In a process that was forked for it: leaves the session and what it has inherited of stdin, stdout and stderr, and
/// holds the mount until it has ended. `report` gets kReady when the mount is usable, or the sentence why it is not,
/// and is closed then. `before_stop` as of Holder. Returns the exit code.
int hold_in_background(const Options& options, ServiceProtocol service, UniqueFd report,
                       std::function<void()> before_stop = {});

}  // namespace ztmpfs
