#pragma once

#include <time.h>

#include <chrono>

namespace ztmpfs {

/// Where time comes from; tests pass a fake one. Safe to call from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Wall-clock time, for the times of inodes.
  virtual timespec realtime() const = 0;
  /// Time that never jumps, for ages and limits.
  virtual std::chrono::milliseconds monotonic() const = 0;
};

/// The kernel's clocks.
class SystemClock final : public Clock {
 public:
  timespec realtime() const override {
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now;
  }
  std::chrono::milliseconds monotonic() const override {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::milliseconds(now.tv_nsec / 1'000'000);
  }
};

}  // namespace ztmpfs
