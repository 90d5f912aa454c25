#pragma once

#include <cstdint>

namespace ztmpfs {

/// What the layers' kill points do (base/durable_store.h, built with ZTMPFS_KILL_POINTS): they count, and the process
/// that passes the one that was chosen dies by SIGKILL. The count is shared with the processes that this one forks.
class KillPoints {
 public:
  /// From now on they count, from 1; the process dies at number `deadly`, at none if that is 0.
  static void arm(uint64_t deadly);
  /// They count no more.
  static void disarm();
  /// How many were passed since arm(), the deadly one included.
  static uint64_t passed();
};

}  // namespace ztmpfs
