#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "daemon/copy_out.h"
#include "daemon/options.h"
#include "daemon/run_place.h"
#include "daemon/run_protocol.h"
#include "daemon/run_request.h"

namespace ztmpfs {

/// The process behind `ztmpfs run` that does everything, and leaves nothing behind: parent of the holder, of the
/// command and of all that loses its parent below. Started before there is anything to clean up. Never looks into the
/// mount itself, but has children do that, so it is never kept waiting there. One thread.
class RunGuard {
 public:
  /// In a process that was forked for it, which becomes a subreaper and the leader of a session; the command stays in
  /// the process group in which it is constructed. `front` is the socket (SOCK_SEQPACKET) to the front process.
  RunGuard(const RunRequest& request, const RunPlace& place, const Options& options, const CopyOut& results,
           const InheritedSignals& signals, UniqueFd front);

  /// Runs the command, and cleans up; tells the front process how that was, if it is still there.
  void run();

 private:
  using Clock = std::chrono::steady_clock;

  /// What a signal means that the front process gets.
  enum class Phase : uint8_t {
    kAbort,    ///< the run is to end by it
    kCommand,  ///< it is for the command
    kIgnore,   ///< the run ends anyway
  };

  void start_command();
  [[noreturn]] void become_command(int go) const;
  void leave_group();
  std::string serve();
  void prepare() const;
  void start_holder();
  [[noreturn]] void become_holder(pid_t guard, UniqueFd report);
  void run_command();
  void ask_for_figures();
  std::string copy_out();
  std::string clean_up();

  std::string perform(const std::function<std::string()>& step, std::optional<std::chrono::milliseconds> patience = {});
  void await(const std::function<bool()>& is_done, int readable = -1, std::optional<Clock::time_point> deadline = {});
  void take_signals();
  void take_message();
  bool is_to_be_forwarded(const RunSignal& signal) const;
  void reap();
  void answer(const std::string& text) const;

  const RunRequest& request_;
  const RunPlace& place_;
  const Options& options_;
  const CopyOut& results_;
  const InheritedSignals& inherited_;
  const pid_t front_pid_;
  const pid_t group_;  // the front process's and the command's
  UniqueFd front_;
  UniqueFd go_;  // a byte in it starts the command
  UniqueFd signals_;
  pid_t command_ = 0;
  pid_t holder_ = 0;
  Phase phase_ = Phase::kAbort;
  bool is_mounted_ = false;
  std::optional<int> command_status_;
  bool has_holder_ended_ = false;
  RunResult result_;
};

}  // namespace ztmpfs
