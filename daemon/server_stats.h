#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "daemon/psi_watch.h"
#include "fs/volume.h"
#include "fuse/latency_histogram.h"

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
  std::map<std::string, uint64_t> requests;           ///< by opcode, answered since the mount
  std::map<std::string, LatencyHistogram> latencies;  ///< by opcode, of requests since the server started
  uint64_t forgets;
  std::chrono::milliseconds uptime;  ///< of the mount
  uint64_t server_restarts;
  uint64_t oom_kills;
  std::vector<PsiWatchStats> psi;  ///< one per source and level
};

}  // namespace ztmpfs
