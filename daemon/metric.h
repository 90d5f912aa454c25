#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/server_stats.h"

namespace ztmpfs {

/// As Prometheus has them. A counter only grows, but for a new server or a new mount, where it begins at zero again.
enum class MetricType : uint8_t { kGauge, kCounter, kHistogram };

/// "gauge", "counter" or "histogram".
std::string_view to_string(MetricType type);

/// As Prometheus reads it: 4096, 1.5, 1e-06. The shortest text that is this number; whole ones below 2^53 in digits.
std::string format_number(double value);

struct MetricLabel {
  std::string_view name;
  std::string value;  ///< any bytes
};

/// One value of a metric that has several.
struct MetricSample {
  std::vector<MetricLabel> labels;  ///< besides "mount"
  double value;
  std::string_view suffix = {};  ///< of a histogram's parts: "_bucket", "_sum", "_count"
};

/// A figure that a mount tells: what it is called and where it comes from. Either `scalar` or `samples` is there.
struct Metric {
  std::string_view name;  ///< in Prometheus' conventions: base units, counters end in _total
  MetricType type;
  std::string_view unit;       ///< "bytes", "seconds"; empty: a number of things
  std::string_view stats_key;  ///< where `stats` shows it: "mem_limit", "requests.*", "classes[].objects_used"
  std::string_view help;       ///< one line
  /// The value as `stats` shows it, under a key of the top level.
  uint64_t (*scalar)(const ServerStats&) = nullptr;
  /// The unit of `scalar`, in units of the metric.
  double scale = 1;
  /// All values of a metric that has labels; none: the metric is left out.
  std::vector<MetricSample> (*samples)(const ServerInfo&, const ServerStats&) = nullptr;
  /// The names of those labels, for the documentation: "path, level".
  std::string_view labels = {};
};

}  // namespace ztmpfs
