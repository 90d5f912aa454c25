#pragma once

#include <functional>
#include <string>

#include "base/bytes.h"
#include "reclaim/pressure_level.h"

namespace ztmpfs {

/// What one scan of a shrinker came to.
struct ShrinkResult {
  Bytes freed = 0;     ///< memory that went back to the OS
  Bytes moved = 0;     ///< bytes copied or compressed for it
  bool stuck = false;  ///< there is more to free, but not now: it is in use, or busy
};

/// Something that can give memory back, as the kernel has it (include/linux/shrinker.h), without magic values.
/// Both functions are called by any thread, one at a time per Reclaimer, with locks of the caller's of the levels
/// "inode" and above held: they only try-lock those.
struct Shrinker {
  std::string name;                                ///< one word, for logs and stats
  unsigned cost = 0;                               ///< the cheapest work goes first
  PressureLevel level = PressureLevel::kSome;      ///< is left alone below it
  std::function<Bytes()> count;                    ///< what scan() could free now, from counters: cheap; 0 is nothing
  std::function<ShrinkResult(Bytes budget)> scan;  ///< frees about `budget`, or what there is
};

}  // namespace ztmpfs
