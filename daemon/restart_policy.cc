#include "daemon/restart_policy.h"

#include <algorithm>

namespace ztmpfs {

std::optional<std::chrono::milliseconds> RestartPolicy::after(const Ending& ending) {
  if (ending.progress == Progress::kReady) attach_failures_ = replay_failures_ = 0;
  const bool is_kill = ending.end == ServerEnd::kKilled;
  // Not its fault; or it took long enough to find out.
  const bool is_excused = ending.progress == Progress::kReady && (is_kill || ending.end == ServerEnd::kHung);
  if (is_excused || ending.lived >= kLifeMin) series_ = 0;
  if (is_excused || ending.end == ServerEnd::kParked) return std::chrono::milliseconds(0);
  if (!is_kill && ending.progress == Progress::kAttached && !ending.has_refused) {
    if (++replay_failures_ >= replay_failures_max_) return std::nullopt;
  } else if (!is_kill && ending.progress != Progress::kReady) {
    if (++attach_failures_ >= kAttachFailuresMax) return std::nullopt;
  }
  constexpr uint32_t kDoublingsMax = 10;
  return std::min(kDelayMin * (1 << std::min(series_++, kDoublingsMax)), kDelayMax);
}

}  // namespace ztmpfs
