#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace ztmpfs {

/// What one can ask of the process that holds a mount, whether or not a server runs. One question per connection, one
/// message each way, on a Unix socket (SOCK_SEQPACKET) that only its user can open.
enum class HolderRequest : char {
  kStatus = 's',   ///< a JSON object: name, state, mountpoint, server_pid, holder_pid, server_restarts, oom_kills
  kTake = 't',     ///< for a new mount of the name: the descriptors of what was kept; kTaken follows
  kTaken = 'T',    ///< on the same connection: the new holder has it, the old one ends
  kForget = 'f',   ///< frees what was kept
  kUpgrade = 'u',  ///< starts the program that is installed now in the place of the server
  /// Has the server read its configuration again, one of the program that is installed now if it is another one; the
  /// text: warnings.
  kReload = 'r',
  kCheck = 'c',  ///< audits what no server serves; a JSON object, behind the answer: ok, breaches
};

/// What an answer begins with; the rest is its text.
enum class HolderVerdict : char {
  kDone = '+',
  kRefused = '-',  ///< a sentence
  kBusy = '?',     ///< ask again: it is about to end
};

struct HolderAnswer {
  HolderVerdict verdict;
  std::string text;
  std::vector<UniqueFd> descriptors;
};

/// A question to a holder.
class HolderClient {
 public:
  /// Throws std::runtime_error if the path is too long. is_connected() tells whether somebody is there.
  explicit HolderClient(const std::string& socket_path);

  bool is_connected() const { return bool(socket_); }
  int fd() const { return socket_.get(); }
  /// Nothing if the holder has gone. Throws std::runtime_error if no answer comes in time.
  std::optional<HolderAnswer> ask(HolderRequest request, std::chrono::milliseconds patience) const;
  /// What comes after an answer, up to the end of the connection.
  std::string read_rest() const;
  /// Says something that has no answer.
  void tell(HolderRequest request) const;

 private:
  UniqueFd socket_;
};

/// The socket of the holder of the mount `name`.
std::string holder_socket_path(const std::string& runtime_dir, const std::string& name);

/// What the name of a holder's socket ends with.
inline constexpr const char* kHolderSocketSuffix = ".holder";

}  // namespace ztmpfs
