#pragma once

#include <sys/un.h>

#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Where systemd-journald takes structured records.
inline constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

/// Whether what is written to `fd` goes to the journal: `stream` is $JOURNAL_STREAM, "DEVICE:INODE" (systemd.exec(5)).
bool is_journal_stream(int fd, std::string_view stream);

/// Whether stderr does, as the environment has it.
bool is_stderr_journal();

/// What goes in front of a line to stderr so that the journal knows its priority: "<3>" (sd-daemon(3)), nothing
/// elsewhere. `priority` as in JournalRecord.
std::string_view journal_prefix(int priority);

/// One entry of the journal.
struct JournalRecord {
  int priority;            ///< as of syslog(3): 3 error, 4 warning, 6 info, 7 debug
  std::string_view name;   ///< of the mount: ZTMPFS_NAME, and in front of the message
  std::string_view event;  ///< ZTMPFS_EVENT: what kind of thing has happened; may be empty
  std::string_view text;
};

/// Speaks journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/). Thread-safe; once made it allocates
/// nothing, and never waits: whoever logs may be the one whom journald waits for, if its files lie on our mount.
class JournalClient {
 public:
  /// Whether anybody listens does not matter yet. Throws std::runtime_error if the path is too long.
  explicit JournalClient(const std::string& socket_path);

  /// False if the journal has not taken it: nobody listens, too much waits there already, or it is too long.
  bool send(const JournalRecord& record) const;

 private:
  UniqueFd socket_;
  sockaddr_un address_;
};

}  // namespace ztmpfs
