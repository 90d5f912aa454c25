#include "daemon/control_routes.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace ztmpfs {
namespace {

namespace json = boost::json;

ServerStats some_stats() {
  ServerStats stats{};
  stats.volume.store.orig_data_size = 1000;
  stats.volume.store.compr_data_size = 400;
  stats.volume.pool.payload = 450;
  stats.volume.pool.span_bytes = 4096;
  stats.volume.pool.free_span_bytes = 8192;
  stats.volume.pool.freeable = 4096;
  stats.volume.classes = {{.object_size = 64,
                           .pages_per_span = 1,
                           .objects_per_span = 64,
                           .objects_allocated = 64,
                           .objects_used = 9,
                           .pages_used = 1,
                           .pages_freeable = 0}};
  stats.volume.mem_used_total = 5 * kMiB;
  stats.volume.mem_limit = kGiB;
  stats.volume.files = 12;  // inodes
  stats.volume.directories = 2;
  stats.requests = {{"LOOKUP", 12}, {"WRITE", 7}};
  stats.forgets = 2;
  stats.uptime = std::chrono::seconds(99);
  return stats;
}

const ControlRoute& route(const std::vector<ControlRoute>& routes, const std::string& path) {
  for (const ControlRoute& one : routes)
    if (one.path == path) return one;
  throw std::runtime_error("no route " + path);
}

class ControlRoutes : public testing::Test {
 protected:
  json::object ask(const std::string& path) { return json::parse(route(routes_, path).answer("").body).as_object(); }

  std::vector<std::string> breaches_;
  std::vector<ControlRoute> routes_ =
      control_routes({.info = {.name = "build", .mountpoint = "/mnt", .server_pid = 11, .holder_pid = 10},
                      .stats = some_stats,
                      .audit = [this] { return breaches_; }});
};

TEST_F(ControlRoutes, StatsHaveTheKeysOfTheContract) {
  const json::object stats = ask("/v1/stats");
  for (const char* key : {"orig_data_size",
                          "compr_data_size",
                          "mem_used_total",
                          "mem_limit",
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
                          "forgets",
                          "classes",
                          "pool_payload_bytes",
                          "pool_span_bytes",
                          "checksum_failures",
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
  EXPECT_EQ(stats.at("files"), 10);
  EXPECT_EQ(stats.at("directories"), 2);
  EXPECT_EQ(stats.at("mem_used_max"), 5 * kMiB) << "less than what is used now";
  EXPECT_EQ(stats.at("requests").at("WRITE"), 7);
  EXPECT_EQ(stats.at("forgets"), 2);
  EXPECT_EQ(stats.at("classes").at(0).at("objects_used"), 9);
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
