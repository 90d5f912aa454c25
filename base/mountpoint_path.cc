#include "base/mountpoint_path.h"

#include <filesystem>
#include <system_error>

namespace ztmpfs {

std::string mountpoint_path(const std::string& path) {
  std::filesystem::path full = std::filesystem::absolute(path).lexically_normal();
  if (!full.has_filename()) full = full.parent_path();
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::canonical(full.parent_path(), error);
  return error ? full.string() : (parent / full.filename()).string();
}

}  // namespace ztmpfs
