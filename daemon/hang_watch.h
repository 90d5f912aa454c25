#pragma once

#include <chrono>
#include <cstdint>

#include "base/supervision.h"

namespace ztmpfs {

/// Tells from the supervision record whether a server that serves has come to a standstill: a request that takes too
/// long, or a main thread that does not come round. Times in which the watching process did not run itself do not
/// count. One thread.
class HangWatch {
 public:
  /// `limit`: how long either may take; 0 is for ever. Borrows the record.
  HangWatch(const SupervisionRecord& record, std::chrono::milliseconds limit) : record_(record), limit_(limit) {}

  /// How often to look; 0: never.
  std::chrono::milliseconds interval() const { return limit_ / 6; }
  /// A server begins to serve.
  void begin(std::chrono::milliseconds now) { since_ = looked_at_ = now; }
  /// To be called about every interval().
  bool is_hung(std::chrono::milliseconds now);
  /// How long the oldest request has been under way, or the main thread has been silent.
  std::chrono::milliseconds standstill(std::chrono::milliseconds now) const;

 private:
  const SupervisionRecord& record_;
  const std::chrono::milliseconds limit_;
  std::chrono::milliseconds since_{0};  // what was before does not count
  std::chrono::milliseconds looked_at_{0};
};

}  // namespace ztmpfs
