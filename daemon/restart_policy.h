#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "base/supervision.h"

namespace ztmpfs {

/// Decides after which time a server is started again (DESIGN: "Crash survival", rules 8 and 9). Knows neither clock
/// nor processes.
class RestartPolicy {
 public:
  /// How far a server had come when it ended.
  enum class Progress : uint8_t {
    kNothing,   ///< it had not taken up the image
    kAttached,  ///< it was finishing the requests that the one before had left
    kReady,     ///< it served
  };
  struct Ending {
    ServerEnd end;
    Progress progress;
    bool has_refused;  ///< it ended by itself, with a sentence
    std::chrono::milliseconds lived;
  };
  /// So many servers in a row that cannot take up the image, and it is given up.
  static constexpr uint32_t kAttachFailuresMax = 5;
  static constexpr std::chrono::milliseconds kDelayMin{10};
  static constexpr std::chrono::milliseconds kDelayMax{5000};
  /// A server that has lived so long is no part of a series of crashes.
  static constexpr std::chrono::seconds kLifeMin{60};

  /// `slots`: requests that can be under way at once; each may end several servers before it is given up.
  explicit RestartPolicy(uint32_t slots) : replay_failures_max_(kAttachFailuresMax + kAttemptsMax * slots) {}

  /// The time to wait before the next start; nothing: give up.
  std::optional<std::chrono::milliseconds> after(const Ending& ending);

 private:
  static constexpr uint32_t kAttemptsMax = 3;  // FuseServer::Options::attempts_max

  const uint32_t replay_failures_max_;
  uint32_t attach_failures_ = 0;
  uint32_t replay_failures_ = 0;
  uint32_t series_ = 0;
};

}  // namespace ztmpfs
