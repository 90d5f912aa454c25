#pragma once

#include <string>
#include <string_view>

namespace ztmpfs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Sends log lines to stderr, or to syslog(3) when the process has given up its terminal. Call once, before threads.
void log_open(bool to_syslog, const std::string& name);

/// One line, one event; never called once per request. Safe from any thread, allocates.
void log(LogLevel level, std::string_view message);

/// Like log(), but at most one line per second and `key`; what was left out is counted in the next line.
void log_limited(LogLevel level, const char* key, std::string_view message);

}  // namespace ztmpfs
