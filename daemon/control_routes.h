#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/control_server.h"
#include "daemon/live_options.h"
#include "daemon/stats_json.h"
#include "reclaim/reclaimer.h"

namespace ztmpfs {

/// Where the answers come from; in tests from a script. `stats` is called on the control server's thread, the others on
/// another one.
struct ControlSource {
  ServerInfo info;
  std::function<ServerStats()> stats;
  std::function<std::vector<std::string>()> audit;  ///< a sentence per broken invariant
  std::function<ReclaimReport()> compact;
  std::function<ReclaimReport(const ReclaimRequest&)> shrink;
  std::function<LiveValues(const std::vector<Setting>&)> change;
};

/// GET /v1/info, GET /v1/stats, GET /metrics (Prometheus' text format), POST /v1/check, POST /v1/compact (compaction
/// alone, all of it), POST /v1/shrink (all shrinkers; the body is {"bytes": N}), POST /v1/set (the body is {"size":
/// "2G"} or the like). The keys are part of the contract with users.
std::vector<ControlRoute> control_routes(ControlSource source);

}  // namespace ztmpfs
