#include "base/bytes.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace ztmpfs {

namespace {

std::optional<double> unit_factor(std::string_view unit, Bytes whole) {
  if (unit.empty()) return 1.0;
  if (unit.size() != 1) return std::nullopt;
  switch (unit.front()) {
    case 'K':
    case 'k': return double(kKiB);
    case 'M':
    case 'm': return double(kMiB);
    case 'G':
    case 'g': return double(kGiB);
    case 'T':
    case 't': return double(kGiB) * 1024.0;
    case '%': return double(whole) / 100.0;
    default: return std::nullopt;
  }
}

}  // namespace

std::optional<Bytes> parse_bytes(std::string_view text, Bytes whole) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(number) || std::signbit(number)) return std::nullopt;
  auto factor = unit_factor(text.substr(size_t(end - text.data())), whole);
  if (!factor || number * *factor >= 9.2e18) return std::nullopt;
  return Bytes(number * *factor);
}

std::string format_bytes(Bytes bytes) {
  static constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  double value = double(bytes);
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

}  // namespace ztmpfs
