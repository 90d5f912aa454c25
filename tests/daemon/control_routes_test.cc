#include "daemon/control_routes.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/daemon/sample_stats.h"

namespace ztmpfs {
namespace {

namespace json = boost::json;

const ControlRoute& route(const std::vector<ControlRoute>& routes, const std::string& path) {
  for (const ControlRoute& one : routes)
    if (one.path == path) return one;
  throw std::runtime_error("no route " + path);
}

class ControlRoutes : public testing::Test {
 protected:
  json::object ask(const std::string& path, const std::string& body = "") {
    return json::parse(route(routes_, path).answer(body).body).as_object();
  }

  std::vector<std::string> breaches_;
  std::vector<ReclaimRequest> requests_;
  std::vector<std::string> settings_;
  std::vector<ControlRoute> routes_ =
      control_routes({.info = sample_info(),
                      .stats = sample_stats,
                      .audit = [this] { return breaches_; },
                      .compact = [] { return sample_report(ReclaimRequest::kEverything); },
                      .shrink =
                          [this](const ReclaimRequest& request) {
                            requests_.push_back(request);
                            return sample_report(request.target);
                          },
                      .change =
                          [this](const std::vector<Setting>& settings) {
                            for (const Setting& setting : settings)
                              settings_.push_back(setting.key + "=" + *setting.value);
                            return LiveValues{.size = kGiB, .hot = kMiB, .psi = "off"};
                          }});
};

TEST_F(ControlRoutes, StatsHaveTheKeysOfTheContract) {
  const json::object stats = ask("/v1/stats");
  for (const char* key : {"orig_data_size",
                          "compr_data_size",
                          "mem_used_total",
                          "mem_limit",
                          "hot_limit",
                          "mem_used_max",
                          "same_pages",
                          "huge_pages",
                          "pages_compacted",
                          "files",
                          "directories",
                          "hot_bytes",
                          "metadata_bytes",
                          "free_span_bytes",
                          "compact_freeable_bytes",
                          "requests",
                          "latency",
                          "forgets",
                          "classes",
                          "pool_payload_bytes",
                          "pool_span_bytes",
                          "checksum_failures",
                          "write_back_failures",
                          "psi",
                          "reclaim",
                          "name",
                          "mountpoint"})
    EXPECT_TRUE(stats.contains(key)) << key;
}

TEST_F(ControlRoutes, StatsTellTheFigures) {
  const json::object stats = ask("/v1/stats");
  EXPECT_EQ(stats.at("orig_data_size"), 1000);
  EXPECT_EQ(stats.at("compr_data_size"), 400);
  EXPECT_EQ(stats.at("pool_payload_bytes"), 450);
  EXPECT_EQ(stats.at("free_span_bytes"), 8192);
  EXPECT_EQ(stats.at("compact_freeable_bytes"), 4096);
  EXPECT_EQ(stats.at("server_restarts"), 5);
  EXPECT_EQ(stats.at("oom_kills"), 1);
  EXPECT_EQ(stats.at("uptime_seconds"), 99);
  EXPECT_EQ(stats.at("files"), 10);
  EXPECT_EQ(stats.at("directories"), 2);
  EXPECT_EQ(stats.at("mem_used_max"), 5 * kMiB) << "less than what is used now";
  EXPECT_EQ(stats.at("requests").at("WRITE"), 7);
  EXPECT_EQ(stats.at("latency").at("WRITE").at("count"), 7);
  EXPECT_EQ(stats.at("latency").at("WRITE").at("sum_seconds"), 12.0);
  EXPECT_EQ(stats.at("latency").at("WRITE").at("p99_seconds"), 10.0);
  EXPECT_EQ(stats.at("forgets"), 2);
  EXPECT_EQ(stats.at("classes").at(0).at("objects_used"), 9);
}

TEST_F(ControlRoutes, StatsTellOfPressureAndWhatCameOfIt) {
  const json::object stats = ask("/v1/stats");
  EXPECT_EQ(stats.at("pages_compacted"), 3);
  const json::value& psi = stats.at("psi");
  EXPECT_EQ(psi.at("events"), 2);
  EXPECT_EQ(psi.at("last_event"),
            (json::object{{"path", "/proc/pressure/memory"}, {"level", "some"}, {"seconds_ago", 1.5}}));
  EXPECT_EQ(psi.at("sources").at(0).at("trigger"), "some 200000 2000000");
  EXPECT_EQ(psi.at("sources").at(0).at("false_events"), 1);
  EXPECT_EQ(psi.at("sources").at(1).at("state"), "polling");
  EXPECT_TRUE(psi.at("sources").at(1).at("seconds_since_event").is_null());
  const json::value& reclaim = stats.at("reclaim");
  EXPECT_EQ(reclaim.at("runs"), 4);
  EXPECT_EQ(reclaim.at("stuck_runs"), 1);
  EXPECT_EQ(reclaim.at("freed"), (json::object{{"compaction", 12288}}));
  EXPECT_EQ(reclaim.at("last").at("cause"), "pressure");
  EXPECT_EQ(reclaim.at("last").at("target"), kMiB);
  EXPECT_EQ(reclaim.at("last").at("shrinkers").at(0).at("moved"), 5000);
}

TEST_F(ControlRoutes, MetricsAreInPrometheusTextFormat) {
  const ControlReply reply = route(routes_, "/metrics").answer("");
  EXPECT_EQ(reply.status, 200U);
  EXPECT_EQ(reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(reply.body.find("\nztmpfs_memory_limit_bytes{mount=\"build\"} 1073741824\n"), std::string::npos);
}

TEST_F(ControlRoutes, CompactTellsPages) {
  EXPECT_EQ(
      ask("/v1/compact"),
      (json::object{
          {"pages_freed", 3}, {"bytes_freed", 12288}, {"bytes_moved", 5000}, {"milliseconds", 7}, {"stuck", true}}));
  EXPECT_TRUE(route(routes_, "/v1/compact").is_slow);
}

TEST_F(ControlRoutes, ShrinkRunsAllShrinkersForATarget) {
  const json::object answer = ask("/v1/shrink", R"({"bytes": 70000})");
  ASSERT_EQ(requests_.size(), 1);
  EXPECT_EQ(requests_[0].target, 70000);
  EXPECT_EQ(requests_[0].only, "");
  EXPECT_EQ(requests_[0].level, PressureLevel::kFull);
  EXPECT_EQ(answer.at("target"), 70000);
  EXPECT_EQ(answer.at("freed"), 12288);
  EXPECT_TRUE(route(routes_, "/v1/shrink").is_slow);
}

TEST_F(ControlRoutes, ShrinkOfNothingAndOfGarbageIsRefused) {
  for (const char* body : {"", "garbage", "[]", "{}", R"({"bytes":"64M"})", R"({"bytes":0})", R"({"bytes":-1})",
                           R"({"bytes":1.5})", R"({"bytes":99999999999999999999999})", R"({"bytes":null})"})
    EXPECT_THROW(ask("/v1/shrink", body), std::invalid_argument) << body;
  EXPECT_TRUE(requests_.empty());
}

TEST_F(ControlRoutes, SetTakesTextsAndNumbersAndTellsWhatIsInEffect) {
  EXPECT_EQ(ask("/v1/set", R"({"size": "50%", "hot": 1048576})"),
            (json::object{{"size", kGiB}, {"hot", kMiB}, {"psi", "off"}}));
  EXPECT_EQ(settings_, (std::vector<std::string>{"size=50%", "hot=1048576"}));
  EXPECT_TRUE(route(routes_, "/v1/set").is_slow);
}

TEST_F(ControlRoutes, SetOfGarbageIsRefused) {
  for (const char* body : {"", "garbage", "[]", "{}", "1", R"({"size":null})", R"({"size":1.5})", R"({"size":[1]})",
                           R"({"size":true})", R"({"size":{"a":1}})"})
    EXPECT_THROW(ask("/v1/set", body), std::invalid_argument) << body;
  EXPECT_TRUE(settings_.empty());
}

TEST_F(ControlRoutes, InfoNamesTheProcesses) {
  const json::object info = ask("/v1/info");
  EXPECT_EQ(info.at("name"), "build");
  EXPECT_EQ(info.at("mountpoint"), "/mnt");
  EXPECT_EQ(info.at("server_pid"), 11);
  EXPECT_EQ(info.at("holder_pid"), 10);
}

TEST_F(ControlRoutes, CheckTellsBreaches) {
  EXPECT_EQ(ask("/v1/check"), (json::object{{"ok", true}, {"breaches", json::array{}}}));
  breaches_ = {"inode 7 has no name"};
  EXPECT_EQ(ask("/v1/check"), (json::object{{"ok", false}, {"breaches", {"inode 7 has no name"}}}));
  EXPECT_TRUE(route(routes_, "/v1/check").is_slow);
}

}  // namespace
}  // namespace ztmpfs
