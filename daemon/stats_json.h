#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/psi_watch.h"
#include "fs/volume.h"

namespace ztmpfs {

/// What a server tells about itself besides its volume's figures.
struct ServerInfo {
  std::string name;
  std::string mountpoint;
  pid_t server_pid;
  pid_t holder_pid;
};

/// The figures of one moment.
struct ServerStats {
  VolumeStats volume;
  std::map<std::string, uint64_t> requests;  ///< by opcode, answered since the mount
  uint64_t forgets;
  std::chrono::milliseconds uptime;  ///< of the mount
  uint64_t server_restarts;
  uint64_t oom_kills;
  std::vector<PsiWatchStats> psi;  ///< one per source and level
};

/// The answer of GET /v1/stats. Its keys are part of the contract with users, in zram's words where zram has the thing.
boost::json::object stats_json(const ServerInfo& info, const ServerStats& stats);

/// What a run of the reclaimer came to: the answer of POST /v1/shrink, and "last" of the stats.
boost::json::object report_json(const ReclaimReport& report);

}  // namespace ztmpfs
