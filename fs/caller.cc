#include <fstream>
#include <sstream>
#include <string>

#include "fs/operation.h"

namespace ztmpfs {

// proc(5), /proc/pid/status.
bool Caller::is_in_group(uint32_t group) const {
  if (group == gid) return true;
  if (pid == 0) return false;
  constexpr std::string_view kKey = "Groups:";
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kKey)) continue;
    std::istringstream groups(line.substr(kKey.size()));
    for (uint32_t each = 0; groups >> each;)
      if (each == group) return true;
    return false;
  }
  return false;
}

}  // namespace ztmpfs
