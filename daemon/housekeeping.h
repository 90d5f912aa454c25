#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "base/bytes.h"
#include "fs/volume.h"

namespace ztmpfs {

/// What has to be looked after from time to time beside the requests: the memory that no counter sees, the heap's free
/// memory, the stock of free spans. Costs next to nothing while the mount is idle. Used by one thread, but for what it
/// registers as a shrinker of the volume: the heap.
class Housekeeping {
 public:
  explicit Housekeeping(Volume& volume);

  /// One step. `requests` is a number that grows with each request. Returns after how long the next step is due.
  std::chrono::milliseconds tick(uint64_t requests);

 private:
  void keep_heap_trimmed();
  Bytes trimmable(Bytes least) const;
  Bytes trim_heap();

  // In steps since the last request.
  static constexpr unsigned kTrimStep = 1;       // a big removal may just have ended
  static constexpr unsigned kSettlingSteps = 8;  // sealing goes on for a while
  static constexpr unsigned kIdleSteps = 20;
  static constexpr unsigned kCalmSteps = 2;      // one second at least
  static constexpr Bytes kHeapSlack = 2 * kMiB;  // with more free memory than this the heap is trimmed at any time

  static constexpr Bytes kHeapGainMin = 256 * kKiB;  // what under pressure is worth a trim

  Volume& volume_;
  uint64_t requests_ = 0;
  unsigned idle_steps_ = 0;
  unsigned calm_steps_ = 0;             // without open blocks
  std::atomic<Bytes> untrimmable_ = 0;  // stays in the heap though nobody uses it, as the last trim has shown
  Reclaimer::Registration heap_shrinker_;
};

}  // namespace ztmpfs
