#include "daemon/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "daemon/prometheus_text.h"
#include "daemon/stats_json.h"
#include "tests/daemon/exposition.h"
#include "tests/daemon/metrics_document.h"
#include "tests/daemon/sample_stats.h"

namespace ztmpfs {
namespace {

namespace json = boost::json;
using testing::IsEmpty;

using Names = std::set<std::string, std::less<>>;

// Objects whose keys are data.
bool is_map(const std::string& path) { return path == "requests" || path == "latency" || path == "reclaim.freed"; }

Names keys_of_the_table() {
  Names keys;
  for (const Metric& metric : metrics()) keys.emplace(metric.stats_key);
  for (const StatsOnly& only : stats_only()) keys.emplace(only.key);
  return keys;
}

// The paths of all that `stats` shows, down to those that the table names.
void collect(const json::value& value, const std::string& path, Names& paths) {
  static const Names kNamed = keys_of_the_table();
  if (value.is_object() && !kNamed.contains(path)) {
    for (const auto& [key, part] : value.as_object())
      collect(part, (path.empty() ? "" : path + ".") + (is_map(path) ? "*" : std::string(key)), paths);
  } else if (value.is_array() && !kNamed.contains(path)) {
    for (const json::value& part : value.as_array()) collect(part, path + "[]", paths);
  } else {
    paths.insert(path);
  }
}

Exposition expose(const ServerInfo& info, const ServerStats& stats) { return Exposition(prometheus_text(info, stats)); }

TEST(Metrics, AreAllThatStatsShows) {
  Names shown;
  collect(stats_json(sample_info(), sample_stats()), "", shown);
  EXPECT_EQ(shown, keys_of_the_table());
}

TEST(Metrics, HaveTheirValueInOneWay) {
  Names names;
  for (const Metric& metric : metrics()) {
    EXPECT_NE(metric.scalar == nullptr, metric.samples == nullptr) << metric.name;
    EXPECT_TRUE(names.emplace(metric.name).second) << metric.name;
    std::string_view tail = metric.name;
    if (tail.ends_with("_total")) tail.remove_suffix(6);
    const bool has_unit = tail.ends_with("_bytes") || tail.ends_with("_seconds");
    EXPECT_EQ(metric.unit, has_unit ? tail.substr(tail.rfind('_') + 1) : "") << metric.name;
    EXPECT_EQ(metric.help.find_first_of("\\\n|"), std::string_view::npos) << metric.name;
    EXPECT_TRUE(metric.help.ends_with('.')) << metric.name;
  }
}

TEST(Metrics, TextKeepsTheRulesOfTheFormat) {
  const Exposition exposition = expose(sample_info(), sample_stats());
  EXPECT_THAT(exposition.breaches, IsEmpty());
  for (const Metric& metric : metrics())
    EXPECT_TRUE(exposition.types.contains(std::string(metric.name))) << metric.name << " is not there";
}

TEST(Metrics, TextOfANewServerKeepsTheRulesToo) {
  const Exposition exposition = expose({}, ServerStats{});
  EXPECT_THAT(exposition.breaches, IsEmpty());
  EXPECT_EQ(exposition.value("ztmpfs_files"), 0);
  EXPECT_FALSE(exposition.types.contains("ztmpfs_requests_total")) << "a family without samples";
}

TEST(Metrics, LabelsAreThoseOfTheTable) {
  const Exposition exposition = expose(sample_info(), sample_stats());
  std::map<std::string, Names> labels;
  for (const Metric& metric : metrics()) {
    Names& names = labels[std::string(metric.name)];
    names.emplace("mount");
    if (metric.type == MetricType::kHistogram) names.emplace("le");
    std::istringstream list{std::string(metric.labels)};
    for (std::string name; list >> name;) names.insert(name.substr(0, name.find(',')));
  }
  for (const Exposition::Sample& sample : exposition.samples) {
    Names names;
    for (const auto& [name, value] : sample.labels) names.insert(name);
    std::string name = sample.name;
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (!name.ends_with(suffix)) continue;
      if (suffix != std::string("_bucket")) names.emplace("le");
      name.resize(name.rfind('_'));
    }
    EXPECT_EQ(names, labels[name]) << sample.name;
    EXPECT_EQ(sample.labels.at("mount"), "build");
  }
}

TEST(Metrics, ValuesAreThoseOfStatsInBaseUnits) {
  const Exposition exposition = expose(sample_info(), sample_stats());
  EXPECT_EQ(exposition.value("ztmpfs_mount_info", {{"mountpoint", "/mnt"}}), 1);
  EXPECT_EQ(exposition.value("ztmpfs_contents_bytes"), 1000);
  EXPECT_EQ(exposition.value("ztmpfs_memory_limit_bytes"), kGiB);
  EXPECT_EQ(exposition.value("ztmpfs_memory_used_max_bytes"), 5 * kMiB);
  EXPECT_EQ(exposition.value("ztmpfs_compacted_bytes_total"), 3 * 4096);
  EXPECT_EQ(exposition.value("ztmpfs_files"), 10);
  EXPECT_EQ(exposition.value("ztmpfs_requests_total", {{"opcode", "WRITE"}}), 7);
  const auto bucket = [&](const char* bound) {
    return exposition.value("ztmpfs_request_duration_seconds_bucket", {{"opcode", "WRITE"}, {"le", bound}});
  };
  EXPECT_EQ(bucket("5e-06"), 0);
  EXPECT_EQ(bucket("1e-05"), 6);
  EXPECT_EQ(bucket("10"), 6);
  EXPECT_EQ(bucket("+Inf"), 7);
  EXPECT_EQ(exposition.value("ztmpfs_request_duration_seconds_count", {{"opcode", "WRITE"}}), 7);
  EXPECT_EQ(exposition.value("ztmpfs_request_duration_seconds_sum", {{"opcode", "WRITE"}}), 12);
  const std::map<std::string, std::string> some{{"path", "/proc/pressure/memory"}, {"level", "some"}};
  EXPECT_EQ(exposition.value("ztmpfs_psi_events_total", some), 2);
  EXPECT_EQ(exposition.value("ztmpfs_psi_since_event_seconds", some), 1.5);
  EXPECT_TRUE(std::isnan(exposition.value("ztmpfs_psi_since_event_seconds", {{"level", "full"}})));
  EXPECT_EQ(exposition.value("ztmpfs_psi_source_state", {{"level", "full"}, {"state", "polling"}}), 1);
  EXPECT_EQ(exposition.value("ztmpfs_psi_source_state", {{"level", "full"}, {"state", "trigger"}}), 0);
  EXPECT_EQ(exposition.value("ztmpfs_reclaim_freed_bytes_total", {{"shrinker", "compaction"}}), 12288);
  EXPECT_EQ(exposition.value("ztmpfs_reclaim_last_duration_seconds", {{"cause", "pressure"}}), 0.007);
  EXPECT_EQ(exposition.value("ztmpfs_pool_class_used_objects", {{"size", "64"}}), 9);
  EXPECT_EQ(exposition.value("ztmpfs_pool_class_span_bytes", {{"size", "64"}}), 4096);
}

TEST(Metrics, LargeCountsAreExact) {
  ServerStats stats = sample_stats();
  stats.volume.mem_limit = (uint64_t(1) << 52) + 1;
  EXPECT_THAT(prometheus_text(sample_info(), stats),
              testing::HasSubstr("ztmpfs_memory_limit_bytes{mount=\"build\"} 4503599627370497\n"));
}

TEST(Metrics, ForeignTextsInLabelsAreEscaped) {
  ServerInfo info = sample_info();
  info.mountpoint = "/mnt/a \"b\\c\n\xe4\xf6{d=\"\"} # \xc3\xa4 \xed\xa0\x80 \xf0\x9f\x90\x8c \xe2\x82";
  const std::string text = prometheus_text(info, sample_stats());
  const Exposition exposition(text);
  EXPECT_THAT(exposition.breaches, IsEmpty());
  constexpr const char* kNone = "\xef\xbf\xbd";
  std::string shown = std::string("/mnt/a \"b\\c\n") + kNone + kNone + "{d=\"\"} # \xc3\xa4 ";
  shown += std::string(kNone) + kNone + kNone + " \xf0\x9f\x90\x8c " + kNone + kNone;
  EXPECT_EQ(exposition.value("ztmpfs_mount_info", {{"mountpoint", shown}}), 1) << text.substr(0, 400);
}

TEST(Metrics, PromtoolHasNothingToComplainAbout) {
  if (std::system("command -v promtool >/dev/null") != 0)
    GTEST_SKIP() << "promtool (package prometheus) is not installed";
  const std::string text = prometheus_text(sample_info(), sample_stats());
  FILE* promtool = ::popen("promtool check metrics 1>&2", "w");
  ASSERT_NE(promtool, nullptr);
  EXPECT_EQ(std::fwrite(text.data(), 1, text.size(), promtool), text.size());
  EXPECT_EQ(::pclose(promtool), 0);
}

TEST(Metrics, DocumentIsMadeFromTheTable) {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/metrics.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(document, metrics_document()) << "run ztmpfs_metrics_document > docs/metrics.md";
}

}  // namespace
}  // namespace ztmpfs
