#include "tests/daemon/metrics_document.h"

#include <sstream>

#include "daemon/metrics.h"

namespace ztmpfs {

namespace {

constexpr const char* kIntroduction = R"(# Metrics

What `ztmpfsctl metrics` and `GET /metrics` on a mount's control socket tell, in Prometheus' text format 0.0.4, and
where `ztmpfsctl stats --json` shows the same. How to collect them: [monitoring.md](monitoring.md).

This page is made from the table in `daemon/metrics.cc` (`ztmpfs_metrics_document > docs/metrics.md`), and a test
compares them. Names, labels and keys are an interface: they stay.

Every metric has the label `mount`, the mount's name; the column "labels" has the others. A metric without a value is
left out (no source of memory pressure has told of any yet, an opcode was never seen). Counters begin at zero with the
mount, or with the server where the table says so: the mount goes on when its server is replaced, and Prometheus takes
the step back for what it is.

| metric | type | labels | key of `stats` | what it tells |
|---|---|---|---|---|
)";

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

std::string codes(std::string_view list) {
  std::istringstream names{std::string(list)};
  std::string text;
  for (std::string name; names >> name;) {
    if (name.ends_with(',')) name.pop_back();
    text += (text.empty() ? "" : ", ") + code(name);
  }
  return text;
}

}  // namespace

std::string metrics_document() {
  std::ostringstream out;
  out << kIntroduction;
  for (const Metric& metric : metrics())
    out << "| " << code(metric.name) << " | " << to_string(metric.type) << " | " << codes(metric.labels) << " | "
        << code(metric.stats_key) << " | " << metric.help << " |\n";
  out << "\n## What only `stats` shows\n\n| key of `stats` | why it is no metric |\n|---|---|\n";
  for (const StatsOnly& only : stats_only()) out << "| " << code(only.key) << " | " << only.reason << " |\n";
  return out.str();
}

}  // namespace ztmpfs
