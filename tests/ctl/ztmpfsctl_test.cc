#include "ctl/ztmpfsctl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "ctl/arguments.h"
#include "ctl/commands.h"
#include "ctl/control_client.h"
#include "ctl/help.h"
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
  EXPECT_EQ(outcome.out,
            "NAME      USED     SIZE  CONTENTS  RATIO  SERVER PID  HOLDER PID  MOUNTPOINT\n"
            "build  1.5 GiB  4.0 GiB   3.0 GiB   2.00          11          10  /mnt/build\n"
            "web    1.5 GiB  4.0 GiB   3.0 GiB   2.00          11          10  /mnt/web\n");
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
  EXPECT_THAT(outcome.out, HasSubstr("  requests   answered\n    LOOKUP         12\n    forgets         9\n"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("DAMAGED")));
}

TEST_F(Ztmpfsctl, StatsForPeopleTellOfPressureReclaimAndClasses) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  const std::string out = run({"stats"}).out;
  EXPECT_THAT(out,
              HasSubstr("/proc/pressure/memory, some: trigger (some 200000 2000000), 2 events, last event 3 s ago"));
  EXPECT_THAT(out, HasSubstr("4 runs, 1 of them stuck; 0 pages freed by compaction"));
  EXPECT_THAT(out, HasSubstr("freed so far: compaction 1.0 MiB, heap 4.0 KiB"));
  EXPECT_THAT(out, HasSubstr("    object size    memory  objects  allocated  used  freeable\n"
                             "           64 B   8.0 KiB       70        128  54 %       0 B\n"
                             "    whole pages  40.0 KiB\n"));
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

struct WrongUsage {
  std::vector<std::string> arguments;
  std::string sentence;
};

TEST_F(Ztmpfsctl, WrongUsageIsOneLineThatNamesTheCulprit) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  std::vector<WrongUsage> table{
      {{}, "a command is missing (see ztmpfsctl --help)"},
      {{""}, "command  is unknown (see ztmpfsctl --help)"},
      {{"frobnicate"}, "command frobnicate is unknown (see ztmpfsctl --help)"},
      {{"--frob", "stats"}, "option --frob is unknown (see ztmpfsctl --help)"},
      {{"-x"}, "option -x is unknown (see ztmpfsctl --help)"},
      {{"--json=yes", "list"}, "option --json takes no value"},
      {{"--interval", "1", "top"}, "option --interval is unknown (see ztmpfsctl --help)"},
      {{"list", "a"}, "list: 'a' is too much"},
      {{"shrink"}, "shrink: BYTES is missing"},
      {{"shrink", "build", "1M", "2M"}, "shrink: '2M' is too much"},
      {{"shrink", "soon"}, "shrink: BYTES is 'soon', but must be a size such as 64M"},
      {{"shrink", "-1"}, "shrink: option -1 is unknown (see ztmpfsctl shrink --help)"},
      {{"set"}, "set: KEY=VALUE is missing"},
      {{"set", "build", "size"}, "set: 'size' is not of the form KEY=VALUE"},
      {{"set", "build", "size=1G", "hot=1M"}, "set: 'hot=1M' is too much"},
      {{"forget"}, "forget: NAME is missing"},
      {{"estimate"}, "estimate: PATH is missing"},
      {{"estimate", "--all=1", "/"}, "estimate: option --all takes no value"},
      {{"estimate", "--codec", "rot13", "/"},
       "estimate: --codec rot13: codec 'rot13' is unknown: choose lz4, zstd, zstd:LEVEL or none"},
      {{"estimate", "--codec=none", "/"}, "estimate: --codec none: none compresses nothing"},
      {{"estimate", "/", "--codec"}, "estimate: option --codec needs a value: CODEC"},
      {{"top", "--count"}, "top: option --count needs a value: NUMBER"},
      {{"top", "-i"}, "top: option --interval needs a value: SECONDS"},
      {{"top", "a", "b"}, "top: 'b' is too much"},
  };
  for (const std::string count : {"0", "-1", "1.5", "many", ""})
    table.push_back(
        {{"top", "--count", count}, "top: --count is '" + count + "', but must be a whole number from 1 on"});
  for (const std::string interval : {"0", "0.09", "-1", "nan", "inf", "1e9", "1s", ""})
    table.push_back({{"top", "--interval=" + interval, "build"},
                     "top: --interval is '" + interval + "', but must be a number of seconds from 0.1 to 3600"});
  for (const Command& command : commands()) {
    const std::string name(command.name);
    table.push_back({{name, "--frob"}, name + ": option --frob is unknown (see ztmpfsctl " + name + " --help)"});
    if (command.takes_target && command.argument.empty())
      table.push_back({{name, "one", "two"}, name + ": 'two' is too much"});
  }
  for (const WrongUsage& wrong : table) {
    const Outcome outcome = run(wrong.arguments);
    EXPECT_EQ(outcome.exit_code, 2) << wrong.sentence;
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "ztmpfsctl: " + wrong.sentence + "\n");
  }
}

TEST_F(Ztmpfsctl, CommandThatMeetsNoMountFails) {
  for (const Command& command : commands()) {
    if (!command.takes_target) continue;
    std::vector<std::string> arguments{std::string(command.name), "none"};
    if (!command.argument.empty()) arguments.push_back(command.name == "set" ? "size=1G" : "1M");
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 1) << command.name;
    EXPECT_EQ(outcome.err, "ztmpfsctl: no ztmpfs named none is mounted\n");
  }
}

TEST_F(Ztmpfsctl, ListTellsNoFiguresOfAServerThatDoesNotAnswer) {
  const ScriptedServer server(socket_path("mute"), {{"GET /v1/info", info("mute", "/mnt/m\\u001b[m")}});
  const Outcome outcome = run({"list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("mute     -     -         -      -          11          10  /mnt/m?[m\n"));
}

TEST_F(Ztmpfsctl, ColoursAreForTerminals) {
  const ScriptedServer server(socket_path("build"), script("build", "/mnt/build"));
  for (const char* command : {"list", "stats"}) {
    EXPECT_THAT(run({command}).out, testing::Not(HasSubstr("\x1b")));
    std::ostringstream out;
    std::ostringstream err;
    ztmpfsctl_main({command}, {.runtime_dir = directory_, .out = out, .err = err, .has_colours = true});
    EXPECT_THAT(out.str(), HasSubstr("\x1b[1m"));
    std::ostringstream json;
    ztmpfsctl_main({command, "--json"}, {.runtime_dir = directory_, .out = json, .err = err, .has_colours = true});
    EXPECT_THAT(json.str(), testing::Not(HasSubstr("\x1b")));
  }
}

TEST_F(Ztmpfsctl, HelpNamesEveryCommandAndOption) {
  const Outcome outcome = run({"--help"});
  EXPECT_EQ(outcome.exit_code, 0);
  for (const Command& command : commands()) {
    EXPECT_THAT(outcome.out, HasSubstr("\n  " + std::string(command.name)));
    const Outcome own = run({std::string(command.name), "--help"});
    EXPECT_EQ(own.exit_code, 0);
    EXPECT_EQ(own.err, "");
    EXPECT_THAT(own.out, StartsWith("Usage: ztmpfsctl [--json] " + std::string(command.name)));
    EXPECT_THAT(own.out, HasSubstr(std::string(command.description)));
    for (const CommandOption& option : command.options) EXPECT_THAT(own.out, HasSubstr(std::string(option.name)));
    std::istringstream lines(own.out);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
  }
  for (const CommandOption& option : general_options()) EXPECT_THAT(outcome.out, HasSubstr(std::string(option.name)));
  EXPECT_EQ(run({"-h"}).out, outcome.out);
  EXPECT_THAT(run({"--version"}).out, StartsWith("ztmpfsctl 0."));
}

// The man page, cut into what stands below its headings of the second level.
std::map<std::string, std::string> man_page_sections() {
  std::ifstream file(ZTMPFS_SOURCE_DIR "/docs/ztmpfsctl.1.md");
  std::map<std::string, std::string> sections;
  std::string heading;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## "))
      heading = line.substr(3);
    else
      sections[heading] += line + "\n";
  }
  return sections;
}

// What a section explains, by term: "`term`", and below it ": text".
std::map<std::string, std::string> entries_of(const std::string& section) {
  std::istringstream lines(section);
  std::map<std::string, std::string> entries;
  std::string term;
  std::string before;
  for (std::string line; std::getline(lines, line); before = line) {
    if (line.starts_with(": ")) {
      term = before;
      EXPECT_EQ(term.front(), '`') << term;
    }
    if (!term.empty() && !line.starts_with('`')) entries[term] += line + "\n";
  }
  return entries;
}

std::string without_program(const std::string& usage) {
  return usage.substr(std::string("ztmpfsctl [--json] ").size());
}

TEST(ZtmpfsctlDocumentation, SynopsisIsTheUsageOfEachCommand) {
  std::string expected = "\n";
  for (const Command& command : commands()) expected += "    " + usage_line(command) + "\n";
  EXPECT_EQ(man_page_sections().at("Synopsis"), expected + "\n");
}

TEST(ZtmpfsctlDocumentation, ManPageExplainsEachCommandWithItsOptionsAndNoOther) {
  const auto entries = entries_of(man_page_sections().at("Commands"));
  EXPECT_EQ(entries.size(), commands().size());
  for (const Command& command : commands()) {
    const auto entry = entries.find("`" + without_program(usage_line(command)) + "`");
    ASSERT_NE(entry, entries.end()) << usage_line(command);
    for (const CommandOption& option : command.options) {
      EXPECT_THAT(entry->second, HasSubstr("`" + std::string(option.name) + "`")) << command.name;
      if (option.short_name.empty()) continue;
      EXPECT_THAT(entry->second, HasSubstr("`" + std::string(option.short_name) + "`")) << command.name;
    }
  }
}

TEST(ZtmpfsctlDocumentation, ManPageExplainsTheGeneralOptionsAndNoOther) {
  const auto entries = entries_of(man_page_sections().at("Options"));
  EXPECT_EQ(entries.size(), general_options().size());
  for (const CommandOption& option : general_options()) {
    const std::string short_name = option.short_name.empty() ? "" : "`" + std::string(option.short_name) + "`, ";
    EXPECT_EQ(entries.count(short_name + "`" + std::string(option.name) + "`"), 1U) << option.name;
  }
}

TEST(ZtmpfsctlDocumentation, ManPageHasNoOptionThatTheParserDoesNotKnow) {
  std::set<std::string> known;
  for (const CommandOption& option : general_options()) known.emplace(option.name);
  for (const Command& command : commands())
    for (const CommandOption& option : command.options) known.emplace(option.name);
  for (const auto& [heading, text] : man_page_sections()) {
    for (size_t at = text.find("--"); at != std::string::npos; at = text.find("--", at + 2)) {
      const std::string option = text.substr(at, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at) - at);
      if (option == "--") continue;
      EXPECT_EQ(known.count(option), 1U) << heading << ": " << option;
    }
  }
}

TEST(ZtmpfsctlDocumentation, ManPageNamesEveryKeyOfStats) {
  const auto sections = man_page_sections();
  const boost::json::value stats = boost::json::parse(CtlRig::kStats);
  for (const auto& [key, value] : stats.as_object())
    EXPECT_THAT(sections.at("Keys of stats"), HasSubstr("`" + std::string(key) + "`"));
}

TEST(ZtmpfsctlDocumentation, ExamplesOfTheManPageAreTaken) {
  std::istringstream lines(man_page_sections().at("Examples"));
  int count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("    ztmpfsctl ")) continue;
    std::istringstream words(line.substr(0, line.find('|')));
    std::vector<std::string> arguments{std::istream_iterator<std::string>(words), {}};
    arguments.erase(arguments.begin());
    EXPECT_NO_THROW(parse_arguments(arguments)) << line;
    ++count;
  }
  EXPECT_GE(count, 5);
}

TEST_F(Ztmpfsctl, SilentServerIsGivenUp) {
  const ScriptedServer server(socket_path("mute"), {});
  EXPECT_THROW(control_request(socket_path("mute"), "GET", "/v1/info", std::chrono::seconds(1)), std::runtime_error);
  EXPECT_THROW(control_request(socket_path("none"), "GET", "/v1/info", std::chrono::seconds(1)), NotServed);
}

}  // namespace
}  // namespace ztmpfs
