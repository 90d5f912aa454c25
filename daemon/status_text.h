#pragma once

#include <string>

#include "fs/volume.h"

namespace ztmpfs {

/// What a mount holds, in one line for `systemctl status`: "serving /mnt: 1.2 GiB of 4.0 GiB used, 3.1 GiB of contents
/// (2.6:1), 5123 files".
std::string status_text(const std::string& mountpoint, const VolumeStats& stats);

}  // namespace ztmpfs
