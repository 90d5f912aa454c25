#pragma once

#include <string>
#include <vector>

#include "base/image.h"

namespace ztmpfs {

/// Why this program could not take over the image that another one serves now: one sentence; empty if it could. It
/// could if it reads the image's layout and options, and would agree with the kernel to what the connection has.
/// Changes nothing in the image. `arguments` are those of server_options(), which the first one does not belong to.
/// Throws std::system_error where the system refuses.
std::string find_takeover_obstacle(ImageFiles image, const std::vector<std::string>& arguments);

/// The process that the holder starts of another program before it stops the server (kProbeArgument). Returns the exit
/// code: 0 and nothing printed if this program could take over; 1 and the sentence on stdout if not. Programs that
/// cannot be asked exit with 2 (wrong usage).
int probe_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
