#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/bytes.h"
#include "fs/volume.h"

namespace ztmpfs {

/// What has to be looked after from time to time beside the requests: the memory that no counter sees, the heap's free
/// memory, the stock of free spans. Costs next to nothing while the mount is idle. Used by one thread.
class Housekeeping {
 public:
  /// `holder` is the pid of the holder.
  Housekeeping(Volume& volume, pid_t holder);

  /// One step, to be called twice a second. `requests` is a number that grows with each request.
  void tick(uint64_t requests);

 private:
  void trim_heap(Bytes anonymous);

  static constexpr unsigned kSettlingTicks = 8;  // sealing goes on after the last request
  static constexpr unsigned kCalmTicks = 3;      // 1 s at least
  static constexpr Bytes kHeapSlack = 2 * kMiB;  // more free memory in the heap than this goes back

  Volume& volume_;
  const pid_t holder_;
  uint64_t requests_ = 0;
  unsigned idle_ticks_ = 0;
  unsigned calm_ticks_ = 0;  // without open blocks
  Bytes untrimmable_ = 0;  // stays in the heap though nobody uses it, as the last trim has shown
};

}  // namespace ztmpfs
