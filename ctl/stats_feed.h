#pragma once

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

#include "ctl/live_figures.h"
#include "ctl/mounts.h"

namespace ztmpfs {

/// The statistics of one mount, again and again, whatever becomes of its server.
class StatsFeed {
 public:
  StatsFeed(std::string runtime_dir, MountInfo mount)
      : runtime_dir_(std::move(runtime_dir)), mount_(std::move(mount)) {}

  /// Nothing if the server does not answer just now: another one takes over, the service is restarted, or it is very
  /// busy. Throws std::runtime_error with a sentence when the mount has ended.
  std::optional<StatsSample> take();

 private:
  void throw_if_ended();

  const std::string runtime_dir_;
  const MountInfo mount_;
  uint64_t uptime_ = 0;
  std::optional<std::chrono::steady_clock::time_point> absent_since_;  // neither holder nor server
};

}  // namespace ztmpfs
