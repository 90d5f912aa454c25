#pragma once

#include <string>
#include <string_view>

#include "base/journal_client.h"

namespace ztmpfs {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Sends log lines to syslog(3) when the process has given up its terminal; else to the journal, as structured records,
/// where that is what stderr leads to (a service; see JournalClient); else to stderr, where also goes what the journal
/// does not take. `name` is the mount's. Call once, before threads.
void log_open(bool to_syslog, const std::string& name, const std::string& journal_socket = kJournalSocket);

/// One line, one event; never called once per request. Safe from any thread, allocates; not to the journal.
void log(LogLevel level, std::string_view message);

/// Like log(), but at most one line per second and `key`; what was left out is counted in the next line. The journal
/// keeps the key with the line (ZTMPFS_EVENT).
void log_limited(LogLevel level, const char* key, std::string_view message);

}  // namespace ztmpfs
