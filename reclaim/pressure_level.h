#pragma once

#include <cstdint>
#include <string_view>

namespace ztmpfs {

/// How pressing the lack of memory is, in PSI's words (Documentation/accounting/psi.rst): some tasks wait for memory,
/// or all of them at once do.
enum class PressureLevel : uint8_t { kSome, kFull };

inline std::string_view to_string(PressureLevel level) { return level == PressureLevel::kFull ? "full" : "some"; }

}  // namespace ztmpfs
