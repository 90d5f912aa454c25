#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <map>
#include <memory>
#include <utility>

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

int syslog_priority(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug: return LOG_DEBUG;
    case spdlog::level::info: return LOG_INFO;
    case spdlog::level::warn: return LOG_WARNING;
    default: return LOG_ERR;
  }
}

// Lines become records of the journal; their event comes as the name of the source file, which we do not use otherwise.
class JournalSink final : public spdlog::sinks::sink {
 public:
  JournalSink(const std::string& socket_path, std::string name) : journal_(socket_path), name_(std::move(name)) {}

  void log(const spdlog::details::log_msg& line) override {
    const std::string_view event = line.source.empty() ? "" : line.source.filename;
    const std::string_view text(line.payload.data(), line.payload.size());
    if (!journal_.send({syslog_priority(line.level), name_, event, text})) stderr_.log(line);
  }
  void flush() override {}
  void set_pattern(const std::string& pattern) override { stderr_.set_pattern(pattern); }
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override {
    stderr_.set_formatter(std::move(formatter));
  }

 private:
  const JournalClient journal_;
  const std::string name_;
  spdlog::sinks::stderr_sink_mt stderr_;
};

std::shared_ptr<spdlog::sinks::sink> line_sink(const std::string& name, const std::string& journal_socket) {
  if (is_stderr_journal()) return std::make_shared<JournalSink>(journal_socket, name);
  return std::make_shared<spdlog::sinks::stderr_sink_mt>();
}

void write(LogLevel level, const char* event, std::string_view message) {
  const spdlog::source_loc source = event == nullptr ? spdlog::source_loc() : spdlog::source_loc(event, 1, "");
  spdlog::default_logger_raw()->log(source, spdlog_level(level), spdlog::string_view_t(message.data(), message.size()));
}

struct LimitedEntry {
  std::chrono::steady_clock::time_point last;
  unsigned suppressed = 0;
};

}  // namespace

void log_open(bool to_syslog, const std::string& name, const std::string& journal_socket) {
  spdlog::drop("ztmpfs");
  if (to_syslog) {
    spdlog::set_default_logger(spdlog::syslog_logger_mt("ztmpfs", "ztmpfs", LOG_PID, LOG_DAEMON));
    spdlog::set_pattern(name + ": %v");
  } else {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("ztmpfs", line_sink(name, journal_socket)));
    spdlog::set_pattern("ztmpfs " + name + ": %l: %v");
  }
}

void log(LogLevel level, std::string_view message) { write(level, nullptr, message); }

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
  if (suppressed == 0) return write(level, key, message);
  write(level, key, std::string(message) + " (" + std::to_string(suppressed) + " like it left out)");
}

}  // namespace ztmpfs
