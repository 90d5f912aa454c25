#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/image.h"
#include "fs/volume.h"

namespace ztmpfs {

/// The first argument of a process that audits an image: "--check=META,DATA,BUFFERS", three open descriptors. Behind it
/// come the options of the mount, as for a server.
inline constexpr std::string_view kCheckArgument = "--check=";

/// Audits an image that nobody serves; a sentence per breach. One that cannot be attached has its refusal as the only
/// one. The files are not changed, and of the contents no copy is made.
std::vector<std::string> check_image(ImageFiles files, const VolumeOptions& options);

/// The auditing process: writes {"ok": ..., "breaches": [...]} to stdout, one line. Returns the exit code: 0 if all is
/// well, else 1.
int check_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
