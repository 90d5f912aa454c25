#include "ctl/figures.h"

#include <array>
#include <cstdio>

namespace ztmpfs {

std::string ratio(uint64_t whole, uint64_t part) {
  if (part == 0) return "-";
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", double(whole) / double(part));
  return text.data();
}

std::string percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? "-" : std::to_string(part * 100 / whole) + " %";
}

std::string counted(uint64_t count, const std::string& one, const std::string& many) {
  const std::string number = std::to_string(count) + " ";
  if (count == 1) return number + one;
  if (!many.empty()) return number + many;
  return number + (one.ends_with('y') ? one.substr(0, one.size() - 1) + "ies" : one + "s");
}

std::string duration_text(uint64_t seconds) {
  constexpr uint64_t kMinute = 60;
  constexpr uint64_t kHour = 60 * kMinute;
  constexpr uint64_t kDay = 24 * kHour;
  if (seconds >= kDay) return std::to_string(seconds / kDay) + " d " + std::to_string(seconds % kDay / kHour) + " h";
  if (seconds >= kHour)
    return std::to_string(seconds / kHour) + " h " + std::to_string(seconds % kHour / kMinute) + " min";
  if (seconds >= kMinute) return std::to_string(seconds / kMinute) + " min " + std::to_string(seconds % kMinute) + " s";
  return std::to_string(seconds) + " s";
}

}  // namespace ztmpfs
