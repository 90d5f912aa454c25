#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/control_server.h"
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
  std::chrono::seconds uptime;
};

/// Where the answers come from; in tests from a script. `stats` is called on the control server's thread, `audit` on
/// another one.
struct ControlSource {
  ServerInfo info;
  std::function<ServerStats()> stats;
  std::function<std::vector<std::string>()> audit;  ///< a sentence per broken invariant
};

/// GET /v1/info, GET /v1/stats, POST /v1/check. The keys are part of the contract with users.
std::vector<ControlRoute> control_routes(ControlSource source);

}  // namespace ztmpfs
