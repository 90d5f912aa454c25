#pragma once

#include <string>

#include "daemon/server_stats.h"

namespace ztmpfs {

/// The Content-Type of prometheus_text().
inline constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

/// The answer of GET /metrics: all of metrics() in Prometheus' text format 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/). Each sample has the label `mount`, the mount's name.
/// Bytes of label values that are no UTF-8 become U+FFFD.
std::string prometheus_text(const ServerInfo& info, const ServerStats& stats);

}  // namespace ztmpfs
