#pragma once

#include <string>

namespace ztmpfs {

/// The answer of GET /v1/stats, for people. Throws std::exception if a key is missing.
std::string stats_text(const std::string& stats_json, bool has_colours);

}  // namespace ztmpfs
