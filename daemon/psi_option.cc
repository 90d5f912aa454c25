#include "daemon/psi_option.h"

#include <charconv>
#include <chrono>
#include <optional>

namespace ztmpfs {

namespace {

using std::chrono::microseconds;

constexpr microseconds kWindowMin = std::chrono::milliseconds(500);
constexpr microseconds kWindowMax = std::chrono::seconds(10);

std::optional<microseconds> parse_duration(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view unit = text.substr(size_t(end - text.data()));
  if (unit == "us") return microseconds(number);
  if (unit == "ms") return std::chrono::milliseconds(number);
  if (unit == "s") return std::chrono::seconds(number);
  return std::nullopt;
}

}  // namespace

std::string psi_option_error(std::string_view text) {
  if (text == "off" || text.starts_with('/')) return "";
  const size_t colon = text.find(':');
  const size_t slash = text.find('/');
  const std::string_view kind = text.substr(0, colon);
  if ((kind != "some" && kind != "full") || slash == std::string_view::npos || slash < colon)
    return "is none of off, a path, and a trigger such as some:100ms/1s";
  const auto stall = parse_duration(text.substr(colon + 1, slash - colon - 1));
  const auto window = parse_duration(text.substr(slash + 1));
  if (!stall || !window) return "has a time that is not a number with us, ms or s";
  if (*window < kWindowMin || *window > kWindowMax) return "has a window that is not from 500ms to 10s";
  if (stall->count() == 0 || *stall > *window) return "has a stall time that is not within its window";
  return "";
}

}  // namespace ztmpfs
