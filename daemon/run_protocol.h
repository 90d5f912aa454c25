#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace ztmpfs {

/// Exit codes of `ztmpfs run` besides those of the command: as env(1) and timeout(1) have them.
inline constexpr int kExitRunFailed = 125;
inline constexpr int kExitCannotRun = 126;
inline constexpr int kExitNoCommand = 127;

/// What the front process of a run tells its guard: a signal has come.
struct RunSignal {
  int32_t signal;
  int32_t is_from_kernel;  ///< from the terminal: to all processes of the group
  pid_t sender;
};

/// How a run has ended; the guard's only message to the front process, with a text behind it (what went wrong; may be
/// empty).
struct RunResult {
  enum class Kind : uint32_t {
    kFailed,   ///< by ztmpfs
    kStopped,  ///< by signal `status`, before the command ran or after it
    kEnded,    ///< the command did, with waitpid(2)'s `status`
  };
  Kind kind = Kind::kFailed;
  int32_t status = 0;
  uint64_t milliseconds = 0;  ///< of the command
  Bytes data_max = 0;         ///< the most that its files had
  Bytes memory_max = 0;       ///< the most that the mount took; 0: not known
};

/// The longest text behind a RunResult.
inline constexpr size_t kRunTextMax = 16 * kKiB;

/// How signals stood when the program was started: so the command is to find them.
struct InheritedSignals {
  sigset_t mask{};
  bool ignores_children = false;
};

/// That background processes get between SIGTERM and SIGKILL.
inline constexpr std::chrono::milliseconds kRunGrace{2000};
/// That killed processes get to end.
inline constexpr std::chrono::milliseconds kRunPatience{5000};
/// That the mount gets to end by itself.
inline constexpr std::chrono::milliseconds kRunUnmountMax{3000};

}  // namespace ztmpfs
