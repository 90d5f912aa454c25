#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <map>

#include "base/mutex.h"

namespace ztmpfs {

namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return spdlog::level::debug;
    case LogLevel::kInfo: return spdlog::level::info;
    case LogLevel::kWarning: return spdlog::level::warn;
    case LogLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

struct LimitedEntry {
  std::chrono::steady_clock::time_point last;
  unsigned suppressed = 0;
};

}  // namespace

void log_open(bool to_syslog, const std::string& name) {
  spdlog::drop("ztmpfs");
  if (to_syslog) {
    spdlog::set_default_logger(spdlog::syslog_logger_mt("ztmpfs", "ztmpfs", LOG_PID, LOG_DAEMON));
    spdlog::set_pattern(name + ": %v");
  } else {
    spdlog::set_default_logger(spdlog::stderr_logger_mt("ztmpfs"));
    spdlog::set_pattern("ztmpfs " + name + ": %l: %v");
  }
}

void log(LogLevel level, std::string_view message) { spdlog::log(spdlog_level(level), message); }

void log_limited(LogLevel level, const char* key, std::string_view message) {
  static Mutex mutex;
  static std::map<std::string_view, LimitedEntry> entries;
  const auto now = std::chrono::steady_clock::now();
  unsigned suppressed = 0;
  {
    MutexLock lock(mutex);
    auto [entry, is_new] = entries.try_emplace(key);
    if (!is_new && now - entry->second.last < std::chrono::seconds(1)) {
      ++entry->second.suppressed;
      return;
    }
    suppressed = entry->second.suppressed;
    entry->second = {now, 0};
  }
  if (suppressed == 0) return log(level, message);
  log(level, std::string(message) + " (" + std::to_string(suppressed) + " like it left out)");
}

}  // namespace ztmpfs
