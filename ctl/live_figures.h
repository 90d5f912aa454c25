#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace ztmpfs {

/// The answer of GET /v1/stats, and when it came.
struct StatsSample {
  boost::json::object stats;
  std::chrono::steady_clock::time_point time;
};

/// What went on between two samples of one mount. What a server counts from its own start on begins anew with the next
/// server: such a difference is 0, never negative.
struct LiveFigures {
  boost::json::object stats;                               ///< the later one
  double seconds = 0;                                      ///< between the two
  std::vector<std::pair<std::string, double>> requests{};  ///< per second, by opcode, most first; only those there were
  double requests_per_second = 0;
  uint64_t psi_events = 0;
  uint64_t reclaim_runs = 0;
  Bytes reclaim_freed = 0;
  uint64_t server_restarts = 0;
};

/// Throws std::exception if a key is missing.
LiveFigures live_figures(const StatsSample& before, const StatsSample& now);

/// One line of JSON: seconds, requests_per_second{opcode: number}, psi_events, reclaim_runs, reclaim_freed,
/// server_restarts, stats{...}.
std::string live_json(const LiveFigures& figures);

}  // namespace ztmpfs
