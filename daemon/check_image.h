#pragma once

#include <string>
#include <vector>

#include "base/image.h"
#include "fs/volume.h"

namespace ztmpfs {

/// Audits an image that nobody serves; a sentence per breach. One that cannot be attached has its refusal as the only
/// one. The files are not changed, and of the contents no copy is made.
std::vector<std::string> check_image(ImageFiles files, const VolumeOptions& options);

/// The auditing process (kCheckArgument): writes {"ok": ..., "breaches": [...]} to stdout, one line. Returns the exit
/// code: 0 if all is well, else 1.
int check_main(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
