#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace ztmpfs {

/// "2.00", or "-" for nothing to compare with.
std::string ratio(uint64_t whole, uint64_t part);

/// "37 %", or "-".
std::string percent(uint64_t part, uint64_t whole);

/// "1 file", "2 files", "3 directories"; `many` where that rule does not do.
std::string counted(uint64_t count, const std::string& one, const std::string& many = "");

/// "3 h 12 min", "5 s": of seconds, the two largest units.
std::string duration_text(uint64_t seconds);

}  // namespace ztmpfs
