#pragma once

#include <span>
#include <string_view>

#include "daemon/metric.h"

namespace ztmpfs {

/// Every figure that a mount tells, in the order in which it is shown. What `stats` (stats_json.h) has at its top
/// level, GET /metrics (prometheus_text.h) and docs/metrics.md are made from it.
std::span<const Metric> metrics();

/// A part of `stats` that is no metric.
struct StatsOnly {
  std::string_view key;  ///< as Metric::stats_key
  std::string_view reason;
};

/// All of those: with metrics() they are all that `stats` shows.
std::span<const StatsOnly> stats_only();

}  // namespace ztmpfs
