#include "daemon/psi_trigger.h"

#include <charconv>
#include <sstream>

namespace ztmpfs {

namespace {

using std::chrono::microseconds;

constexpr microseconds kWindowMin = std::chrono::milliseconds(500);
constexpr microseconds kWindowMax = std::chrono::seconds(10);
constexpr microseconds kWindowForEverybody = std::chrono::seconds(2);  // the period of the kernel's own averages

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

std::optional<PressureLevel> parse_level(std::string_view text) {
  for (const PressureLevel level : {PressureLevel::kSome, PressureLevel::kFull})
    if (text == to_string(level)) return level;
  return std::nullopt;
}

// Empty if the times are within the kernel's limits.
std::string time_error(const PsiTrigger& trigger) {
  if (trigger.window < kWindowMin || trigger.window > kWindowMax) return "has a window that is not from 500ms to 10s";
  if (trigger.stall.count() == 0 || trigger.stall > trigger.window)
    return "has a stall time that is not within its window";
  return "";
}

}  // namespace

std::string PsiTrigger::text() const {
  return std::string(to_string(level)) + " " + std::to_string(stall.count()) + " " + std::to_string(window.count());
}

double PsiTrigger::percent() const { return 100.0 * double(stall.count()) / double(window.count()); }

PsiTrigger PsiTrigger::for_everybody() const {
  const auto steps = (window + kWindowForEverybody - microseconds(1)) / kWindowForEverybody;
  const microseconds longer = steps * kWindowForEverybody;
  return {.level = level, .stall = stall * longer.count() / window.count(), .window = longer};
}

PsiTrigger default_psi_trigger(PressureLevel level) {
  const std::chrono::milliseconds stall(level == PressureLevel::kFull ? 50 : 100);
  return {.level = level, .stall = stall, .window = std::chrono::seconds(1)};
}

std::expected<PsiTrigger, std::string> parse_psi_trigger(std::string_view text) {
  const size_t colon = text.find(':');
  const size_t slash = text.find('/');
  const auto level = parse_level(text.substr(0, colon));
  if (!level || slash == std::string_view::npos || slash < colon)
    return std::unexpected("is none of off, a path, and a trigger such as some:100ms/1s");
  const auto stall = parse_duration(text.substr(colon + 1, slash - colon - 1));
  const auto window = parse_duration(text.substr(slash + 1));
  if (!stall || !window) return std::unexpected("has a time that is not a number with us, ms or s");
  const PsiTrigger trigger{.level = *level, .stall = *stall, .window = *window};
  if (std::string reason = time_error(trigger); !reason.empty()) return std::unexpected(std::move(reason));
  return trigger;
}

std::optional<PsiTrigger> read_psi_trigger(std::string_view text) {
  std::istringstream words{std::string(text.substr(0, text.find('\0')))};
  std::string level_word;
  uint32_t stall = 0;
  uint32_t window = 0;
  if (!(words >> level_word >> stall >> window) || !(words >> std::ws).eof()) return std::nullopt;
  const auto level = parse_level(level_word);
  if (!level) return std::nullopt;
  const PsiTrigger trigger{.level = *level, .stall = microseconds(stall), .window = microseconds(window)};
  if (!time_error(trigger).empty()) return std::nullopt;
  return trigger;
}

}  // namespace ztmpfs
