#include "daemon/memory_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "base/log.h"

namespace ztmpfs {

namespace {

constexpr Bytes kFloorPercent = 5;
constexpr Bytes kFloorMax = 512 * kMiB;
constexpr Bytes kFullPercent = 95;

// The number behind `key` in kB, as proc_meminfo(5) has it.
std::optional<Bytes> find_bytes(std::string_view text, std::string_view key) {
  size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  at = text.find_first_not_of(' ', at + key.size());
  if (at == std::string_view::npos) return std::nullopt;
  Bytes kibibytes = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), kibibytes);
  if (error != std::errc{}) return std::nullopt;
  return kibibytes * kKiB;
}

}  // namespace

MemoryWatch::MemoryWatch(const MemoryBudget& budget, const std::string& meminfo)
    : budget_(budget), meminfo_(::open(meminfo.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (!meminfo_)
    log(LogLevel::kWarning,
        "cannot watch the available memory: cannot open " + meminfo + ": " + std::generic_category().message(errno));
}

std::optional<PressureLevel> MemoryWatch::check() const {
  if (const auto level = check_machine()) return level;
  if (is_nearly_full()) return PressureLevel::kSome;
  return std::nullopt;
}

std::optional<PressureLevel> MemoryWatch::check_machine() const {
  std::array<char, 256> buffer{};  // the first three lines are enough
  const ssize_t count = meminfo_ ? ::pread(meminfo_.get(), buffer.data(), buffer.size(), 0) : -1;
  if (count <= 0) return std::nullopt;
  const std::string_view text(buffer.data(), size_t(count));
  const auto total = find_bytes(text, "MemTotal:");
  const auto available = find_bytes(text, "MemAvailable:");
  if (!total || !available) return std::nullopt;
  const Bytes floor = std::min(*total * kFloorPercent / 100, kFloorMax);
  if (*available < floor / 2) return PressureLevel::kFull;
  if (*available < floor) return PressureLevel::kSome;
  return std::nullopt;
}

bool MemoryWatch::is_nearly_full() const {
  const Bytes limit = budget_.limit();
  const Bytes room = limit > budget_.reserve() ? limit - budget_.reserve() : 0;
  return budget_.used() >= room * kFullPercent / 100;
}

}  // namespace ztmpfs
