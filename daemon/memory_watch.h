#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/memory_budget.h"
#include "base/unique_fd.h"
#include "reclaim/pressure_level.h"

namespace ztmpfs {

/// Sees what pressure information shows too late: the machine's available memory below a floor, and the mount itself
/// nearly full. Has no thread and no timer; check() costs a read of /proc/meminfo. Used by one thread.
class MemoryWatch {
 public:
  /// `budget` outlives the watch. Without a readable `meminfo` only the budget is looked at, and one warning logged.
  explicit MemoryWatch(const MemoryBudget& budget, const std::string& meminfo = "/proc/meminfo");

  /// To be called every now and then. kSome if MemAvailable is below the floor (5 % of MemTotal, at most 512 MiB) or
  /// contents have taken 95 % of what the budget grants them; kFull below half the floor; else nothing.
  std::optional<PressureLevel> check() const;

 private:
  std::optional<PressureLevel> check_machine() const;
  bool is_nearly_full() const;

  const MemoryBudget& budget_;
  UniqueFd meminfo_;
};

}  // namespace ztmpfs
