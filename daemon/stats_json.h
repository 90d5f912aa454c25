#pragma once

#include <boost/json/fwd.hpp>
#include <boost/json/object.hpp>

#include "daemon/server_stats.h"

namespace ztmpfs {

/// The answer of GET /v1/stats. Its keys are part of the contract with users, in zram's words where zram has the thing.
boost::json::object stats_json(const ServerInfo& info, const ServerStats& stats);

/// What a run of the reclaimer came to: the answer of POST /v1/shrink, and "last" of the stats.
boost::json::object report_json(const ReclaimReport& report);

}  // namespace ztmpfs
