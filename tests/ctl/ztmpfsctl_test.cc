#include "ctl/ztmpfsctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "ctl/commands.h"
#include "ctl/control_client.h"
#include "ctl/metrics_text.h"
#include "tests/ctl/ctl_rig.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Ztmpfsctl : public CtlRig {};

TEST_F(Ztmpfsctl, ListShowsEveryMountByName) {
  const ScriptedServer second(socket_path("web"), script("web", "/mnt/web"));
  const ScriptedServer first(socket_path("build"), script("build", "/mnt/build"));
  const Outcome outcome = run({"list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out,
              HasSubstr("build 11          10          /mnt/build\nweb   11          10          /mnt/web\n"));
}

TEST_F(Ztmpfsctl, ListAsJsonIsAnArray) {
  EXPECT_EQ(run({"list", "--json"}).out, "[]\n");
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  EXPECT_EQ(run({"--json", "list"}).out,
            R"([{"name":"build","mountpoint":"/mnt/build","server_pid":11,"holder_pid":10,"state":"mounted"}])"
            "\n");
}

TEST_F(Ztmpfsctl, StaleSocketsAndOtherFilesAreSkipped) {
  {
    const ScriptedServer dead(socket_path("dead"), {});
  }
  std::filesystem::create_directory(directory_ + "/x.lock");
  const Outcome outcome = run({"--json", "list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "[]\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Ztmpfsctl, StrangerOnASocketIsNamed) {
  const ScriptedServer stranger(socket_path("odd"), {{"GET /v1/info", ScriptedServer::json("hello")}});
  const Outcome outcome = run({"list"});
  EXPECT_THAT(outcome.err, HasSubstr(socket_path("odd") + " is not ztmpfs"));
}

TEST_F(Ztmpfsctl, MountIsFoundByNameByMountPointOrAlone) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--json", "stats"},
                                                    {"--json", "stats", "build"},
                                                    {"stats", "--json", "/mnt/build"},
                                                    {"stats", "--json", "/mnt/build/"},
                                                    {"stats", "--json", "--", "/mnt/../mnt/build"}}) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(outcome.out, CtlRig::kStats);
  }
}

TEST_F(Ztmpfsctl, MountPointBehindASymbolicLinkIsFound) {
  std::filesystem::create_directories(directory_ + "/real/disk");
  std::filesystem::create_directory_symlink(directory_ + "/real", directory_ + "/link");
  const ScriptedServer server(socket_path("build"), script("build", directory_ + "/real/disk"));
  EXPECT_EQ(run({"stats", "--json", directory_ + "/link/disk"}).exit_code, 0);
}

TEST_F(Ztmpfsctl, MountThatIsNotThereIsNamed) {
  EXPECT_EQ(run({"stats"}).err, "ztmpfsctl: no ztmpfs is mounted\n");
  EXPECT_EQ(run({"stats", "x"}).err, "ztmpfsctl: no ztmpfs named x is mounted\n");
  EXPECT_EQ(run({"check", "/x"}).err, "ztmpfsctl: no ztmpfs is mounted on /x\n");
  EXPECT_EQ(run({"stats", "x"}).exit_code, 1);
  const ScriptedServer one(socket_path("one"), script("one", "/mnt/one"));
  const ScriptedServer two(socket_path("two"), script("two", "/mnt/two"));
  EXPECT_EQ(run({"stats"}).err, "ztmpfsctl: there are several mounts: say which one\n");
}

TEST_F(Ztmpfsctl, StatsForPeopleTellRatiosAndWhatIsNotCounted) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  const Outcome outcome = run({"stats"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, StartsWith("build on /mnt/build, up 5 s\n"));
  EXPECT_THAT(outcome.out, HasSubstr("1.5 GiB of 4.0 GiB (37 %), at most 2.0 GiB"));
  EXPECT_THAT(outcome.out, HasSubstr("page cache of the files is not in it"));
  EXPECT_THAT(outcome.out, HasSubstr("2.00 contents to memory used, 3.00 contents to bytes stored"));
  EXPECT_THAT(outcome.out, HasSubstr("LOOKUP            12\n"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("DAMAGED")));
}

TEST_F(Ztmpfsctl, StatsForPeopleTellOfPressureReclaimAndClasses) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  const std::string out = run({"stats"}).out;
  EXPECT_THAT(out,
              HasSubstr("/proc/pressure/memory, some: trigger (some 200000 2000000), 2 events, last event 3 s ago"));
  EXPECT_THAT(out, HasSubstr("4 runs, 1 of them stuck; 0 pages freed by compaction"));
  EXPECT_THAT(out, HasSubstr("freed so far: compaction 1.0 MiB, heap 4.0 KiB"));
  EXPECT_THAT(out, HasSubstr("        64         2          70         128           0\n      runs        10"));
}

TEST_F(Ztmpfsctl, MetricsOfOneMountAreTheServersText) {
  const ScriptedServer one(socket_path("one"), script("one", "/mnt/one"));
  const ScriptedServer two(socket_path("two"), script("two", "/mnt/two"));
  EXPECT_EQ(run({"metrics", "two"}).out,
            "# HELP ztmpfs_files Files.\n# TYPE ztmpfs_files gauge\nztmpfs_files{mount=\"two\"} 1\n");
  EXPECT_EQ(run({"metrics", "three"}).exit_code, 1);
}

TEST_F(Ztmpfsctl, MetricsOfAllMountsHaveEachFamilyOnce) {
  const Outcome none = run({"metrics"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_EQ(none.out, "") << "no mount, no metrics: what a timer may meet";
  const ScriptedServer one(socket_path("one"), script("one", "/mnt/one"));
  const ScriptedServer two(socket_path("two"), script("two", "/mnt/two"));
  const Outcome all = run({"metrics"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_EQ(all.out,
            "# HELP ztmpfs_files Files.\n# TYPE ztmpfs_files gauge\n"
            "ztmpfs_files{mount=\"one\"} 1\nztmpfs_files{mount=\"two\"} 1\n");
}

TEST_F(Ztmpfsctl, MountWithoutMetricsDoesNotHideTheOthers) {
  auto broken = script("broken", "/mnt/broken");
  broken["GET /metrics"] = ScriptedServer::json(R"({"error":"not now"})", "500 Internal Server Error");
  const ScriptedServer first(socket_path("broken"), broken);
  const ScriptedServer second(socket_path("whole"), script("whole", "/mnt/whole"));
  const Outcome outcome = run({"metrics"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("mount=\"whole\""));
  EXPECT_THAT(outcome.err, HasSubstr("broken: not now"));
}

TEST(MergeMetrics, FamiliesThatOneMountAloneHasKeepTheirPlace) {
  const auto family = [](const std::string& name, const std::string& mount) {
    return "# HELP " + name + " Of " + mount + ".\n# TYPE " + name + " gauge\n" + name + "{mount=\"" + mount +
           "\"} 1\n";
  };
  EXPECT_EQ(merge_metrics({family("a", "1") + family("c", "1"), family("a", "2") + family("b", "2") + family("c", "2"),
                           "garbage\n", ""}),
            family("a", "1") + "a{mount=\"2\"} 1\n" + family("b", "2") + family("c", "1") + "c{mount=\"2\"} 1\n");
}

TEST_F(Ztmpfsctl, CompactTellsWhatItFreed) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  EXPECT_EQ(run({"compact"}).out, "build: 1.0 MiB freed (256 pages), 4.0 KiB moved\n");
  EXPECT_EQ(run({"compact", "build"}).exit_code, 0);
  EXPECT_THAT(run({"compact", "--json"}).out, HasSubstr("\"pages_freed\":256"));
}

TEST_F(Ztmpfsctl, ShrinkTellsWhenThereIsNoMoreToFree) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  EXPECT_EQ(run({"shrink", "1M"}).out,
            "build: 1.0 MiB freed of 1.0 MiB\n  free_spans: 4.0 KiB\n  compaction: 1020.0 KiB (more is in use just "
            "now)\n");
  EXPECT_THAT(run({"shrink", "build", "1G"}).out, StartsWith("build: 1.0 MiB freed of 1.0 GiB\n"))
      << "one of them is stuck";
  EXPECT_EQ(run({"shrink", "/mnt/build", "4096"}).exit_code, 0);
}

TEST_F(Ztmpfsctl, ShrinkOfNothingAndOfGarbageIsRefused) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  for (const char* bytes : {"0", "garbage", "1x", "12Q", "", "50%"}) {
    const Outcome outcome = run({"shrink", bytes});
    EXPECT_EQ(outcome.exit_code, 2) << bytes;
    EXPECT_EQ(outcome.err,
              "ztmpfsctl: shrink: BYTES is '" + std::string(bytes) + "', but must be a size such as 64M\n");
  }
  EXPECT_EQ(run({"shrink"}).err, "ztmpfsctl: shrink: BYTES is missing\n");
  EXPECT_EQ(run({"shrink", "build", "1M", "2M"}).exit_code, 2);
}

TEST_F(Ztmpfsctl, SetTellsWhatIsInEffect) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  EXPECT_EQ(run({"set", "size=2G"}).out, "build: size 2.0 GiB, hot 64.0 MiB, psi default\n");
  EXPECT_EQ(run({"set", "/mnt/build", "hot=64M"}).exit_code, 0);
  EXPECT_THAT(run({"--json", "set", "build", "psi=off"}).out, StartsWith("{\"size\":2147483648,"));
}

TEST_F(Ztmpfsctl, SetOfNonsenseIsWrongUsage) {
  auto answers = script("build", "/mnt/build");
  answers["POST /v1/set"] = ScriptedServer::json(R"({"error":"option 'sise=1' is unknown"})", "400 Bad Request");
  const ScriptedServer server(socket_path("build"), answers);
  for (const char* argument : {"size", "=1G", ""}) {
    const Outcome outcome = run({"set", argument});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_EQ(outcome.err, "ztmpfsctl: set: '" + std::string(argument) + "' is not of the form KEY=VALUE\n");
  }
  EXPECT_EQ(run({"set"}).err, "ztmpfsctl: set: KEY=VALUE is missing\n");
  EXPECT_EQ(run({"set", "sise=1"}).exit_code, 2);
  EXPECT_EQ(run({"set", "sise=1"}).err, "ztmpfsctl: build: option 'sise=1' is unknown\n");
}

TEST_F(Ztmpfsctl, SetThatIsRefusedNowFails) {
  auto answers = script("build", "/mnt/build");
  answers["POST /v1/set"] = ScriptedServer::json(R"({"error":"more is in use"})", "409 Conflict");
  const ScriptedServer server(socket_path("build"), answers);
  EXPECT_EQ(run({"set", "size=1M"}).exit_code, 1);
  EXPECT_EQ(run({"set", "size=1M"}).err, "ztmpfsctl: build: more is in use\n");
}

TEST_F(Ztmpfsctl, CheckThatFindsNothingSucceeds) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  EXPECT_EQ(run({"check"}).exit_code, 0);
  EXPECT_EQ(run({"check"}).out, "build: every invariant holds\n");
}

TEST_F(Ztmpfsctl, CheckThatFindsBreachesFails) {
  auto answers = script("build", "/mnt/build");
  answers["POST /v1/check"] = ScriptedServer::json(R"({"ok":false,"breaches":["one","two"]})");
  const ScriptedServer server(socket_path("build"), answers);
  EXPECT_EQ(run({"check"}).exit_code, 1);
  EXPECT_EQ(run({"check"}).out, "build: one\nbuild: two\n");
  EXPECT_EQ(run({"check", "--json"}).exit_code, 1);
}

TEST_F(Ztmpfsctl, RefusalOfTheDaemonIsPassedOn) {
  auto answers = script("build", "/mnt/build");
  answers["GET /v1/stats"] = ScriptedServer::json(R"({"error":"not now"})", "503 Service Unavailable");
  answers["POST /v1/check"] = ScriptedServer::json("oops", "500 Internal Server Error");
  const ScriptedServer server(socket_path("build"), answers);
  EXPECT_EQ(run({"stats"}).exit_code, 1);
  EXPECT_EQ(run({"stats"}).err, "ztmpfsctl: build: not now\n");
  EXPECT_EQ(run({"check"}).err, "ztmpfsctl: build: HTTP status 500\n");
}

TEST_F(Ztmpfsctl, StatsWithoutAKeyAreAnError) {
  auto answers = script("build", "/mnt/build");
  answers["GET /v1/stats"] = ScriptedServer::json("{}");
  const ScriptedServer server(socket_path("build"), answers);
  EXPECT_EQ(run({"stats"}).exit_code, 1);
  EXPECT_THAT(run({"stats"}).err, StartsWith("ztmpfsctl: "));
}

TEST_F(Ztmpfsctl, WrongUsageIsRefused) {
  EXPECT_EQ(run({}).exit_code, 2);
  EXPECT_EQ(run({"frobnicate"}).exit_code, 2);
  EXPECT_EQ(run({"frobnicate"}).err, "ztmpfsctl: command frobnicate is unknown (see ztmpfsctl --help)\n");
  EXPECT_EQ(run({"stats", "--frob"}).exit_code, 2);
  EXPECT_EQ(run({"stats", "a", "b"}).err, "ztmpfsctl: stats: 'b' is too much\n");
  EXPECT_EQ(run({"list", "a"}).exit_code, 2);
}

TEST_F(Ztmpfsctl, HelpNamesEveryCommand) {
  const Outcome outcome = run({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const Command& command : commands()) EXPECT_THAT(outcome.out, HasSubstr("  " + std::string(command.name)));
  EXPECT_THAT(run({"--version"}).out, StartsWith("ztmpfsctl 0."));
}

TEST(ZtmpfsctlDocumentation, ManPageNamesEveryCommandAndKey) {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/ztmpfsctl.1.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  for (const Command& command : commands()) EXPECT_THAT(page, HasSubstr("\n`" + std::string(command.name)));
  const boost::json::value stats = boost::json::parse(CtlRig::kStats);
  for (const auto& [key, value] : stats.as_object()) EXPECT_THAT(page, HasSubstr("`" + std::string(key) + "`"));
}

TEST_F(Ztmpfsctl, SilentServerIsGivenUp) {
  const ScriptedServer server(socket_path("mute"), {});
  EXPECT_THROW(control_request(socket_path("mute"), "GET", "/v1/info", std::chrono::seconds(1)), std::runtime_error);
  EXPECT_THROW(control_request(socket_path("none"), "GET", "/v1/info", std::chrono::seconds(1)), NotServed);
}

}  // namespace
}  // namespace ztmpfs
