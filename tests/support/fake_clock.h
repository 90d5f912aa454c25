#pragma once

#include <atomic>

#include "base/clock.h"

namespace ztmpfs {

/// A clock that stands still until it is told to go on.
class FakeClock final : public Clock {
 public:
  timespec realtime() const override {
    return {time_t(1'700'000'000 + milliseconds_ / 1000), long(milliseconds_ % 1000) * 1'000'000};
  }
  std::chrono::milliseconds monotonic() const override { return std::chrono::milliseconds(milliseconds_.load()); }
  void advance(std::chrono::milliseconds time) { milliseconds_ += time.count(); }

 private:
  std::atomic<int64_t> milliseconds_ = 1;
};

}  // namespace ztmpfs
