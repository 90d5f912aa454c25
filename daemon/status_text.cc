#include "daemon/status_text.h"

#include <array>
#include <cstdio>

#include "base/bytes.h"

namespace ztmpfs {

std::string status_text(const std::string& mountpoint, const VolumeStats& stats) {
  std::string text = "serving " + mountpoint + ": " + format_bytes(stats.mem_used_total) + " of " +
                     format_bytes(stats.mem_limit) + " used, " + format_bytes(stats.store.orig_data_size) +
                     " of contents";
  if (stats.store.orig_data_size > stats.mem_used_total) {
    std::array<char, 32> ratio{};
    std::snprintf(ratio.data(), ratio.size(), " (%.1f:1)",
                  double(stats.store.orig_data_size) / double(stats.mem_used_total));
    text += ratio.data();
  }
  return text + ", " + std::to_string(stats.files - stats.directories) + " files";
}

}  // namespace ztmpfs
