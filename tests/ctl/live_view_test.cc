#include "ctl/live_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "tests/ctl/ctl_rig.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
namespace json = boost::json;
using std::chrono::milliseconds;

json::object stats() {
  json::object result = json::parse(CtlRig::kStats).as_object();
  result["server_restarts"] = 0;
  return result;
}

StatsSample at(milliseconds time, json::object stats) {
  return {.stats = std::move(stats), .time = std::chrono::steady_clock::time_point(time)};
}

json::object with_requests(json::object requests) {
  json::object result = stats();
  result["requests"] = std::move(requests);
  return result;
}

std::string text_of(const LiveFigures& figures, const ViewSize& size, bool has_colours = false) {
  std::string text;
  for (const StyledLine& line : live_view(figures, size)) text += line.text(size.columns, has_colours) + "\n";
  return text;
}

TEST(LiveFigures, RatesAreDifferencesOverTimeMostFirst) {
  const auto before = at(milliseconds(1000), with_requests({{"LOOKUP", 100}, {"READ", 7}}));
  const auto now = at(milliseconds(3000), with_requests({{"LOOKUP", 104}, {"READ", 7}, {"WRITE", 50}}));
  const LiveFigures figures = live_figures(before, now);
  EXPECT_THAT(figures.requests, ElementsAre(Pair("WRITE", 25.0), Pair("LOOKUP", 2.0)));
  EXPECT_EQ(figures.requests_per_second, 27);
  EXPECT_EQ(figures.seconds, 2);
}

TEST(LiveFigures, CountersThatBeganAnewAreNoNegativeRates) {
  json::object later = with_requests({{"LOOKUP", 3}});
  later["server_restarts"] = 2;
  later["reclaim"].as_object()["runs"] = 0;
  later["reclaim"].as_object()["freed"] = json::object();
  later["psi"].as_object()["events"] = 0;
  const LiveFigures figures = live_figures(at(milliseconds(0), stats()), at(milliseconds(1000), later));
  EXPECT_TRUE(figures.requests.empty());
  EXPECT_EQ(figures.reclaim_runs, 0U);
  EXPECT_EQ(figures.reclaim_freed, 0U);
  EXPECT_EQ(figures.psi_events, 0U);
  EXPECT_EQ(figures.server_restarts, 2U);
  EXPECT_THAT(text_of(figures, {80, 50}), HasSubstr("2 server restarts (just now)"));
}

TEST(LiveFigures, JsonIsOneLineWithTheStats) {
  json::object later = stats();
  later["reclaim"].as_object()["runs"] = 6;
  later["reclaim"].as_object()["freed"].as_object()["heap"] = 8192;
  const std::string line = live_json(live_figures(at(milliseconds(0), stats()), at(milliseconds(500), later)));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json::object result = json::parse(line).as_object();
  EXPECT_EQ(result.at("seconds"), 0.5);
  EXPECT_EQ(result.at("reclaim_runs"), 2);
  EXPECT_EQ(result.at("reclaim_freed"), 4096);
  EXPECT_EQ(result.at("stats"), later);
}

TEST(LiveView, ShowsWhatTheStatsTell) {
  json::object later = with_requests({{"LOOKUP", 62}});
  json::object& psi = later["psi"].as_object();
  psi["events"] = 3;
  psi["last_event"] = json::object{{"path", "/proc/pressure/memory"}, {"level", "some"}, {"seconds_ago", 75.5}};
  later["reclaim"].as_object()["last"] =
      json::object{{"cause", "pressure"}, {"level", "some"}, {"freed", 1048576}, {"milliseconds", 12}};
  const LiveFigures figures = live_figures(at(milliseconds(0), stats()), at(milliseconds(1000), later));
  const std::string text = text_of(figures, {99, 50});
  for (const char* part :
       {"build on /mnt/build, up 5 s, 0 server restarts\n",
        "memory     [#########...............] 1.5 GiB of 4.0 GiB (37 %), at most 2.0 GiB\n",
        "hot queue  [#.......................] 1.0 MiB of 64.0 MiB not compressed yet\n",
        "contents   3.0 GiB in 123 files, 45 directories; ratio 2.00 to memory, 3.00 to bytes stored\n",
        "blocks     compressed to 1.0 GiB, 7 blocks same-filled, 8 huge, 1.0 MiB hot\n",
        "pressure   3 events (1 just now), the last 1 min 15 s ago: some of /proc/pressure/memory\n",
        "reclaim    4 runs, 1 stuck; freed 1.0 MiB by compaction, 4.0 KiB by heap\n",
        "           the last run: pressure, some, 1.0 MiB freed in 12 ms\n", "requests   50.0/s, in the last 1.0 s\n",
        "  LOOKUP                50.0/s [############]\n", "      64 [#########.......] 70 of 128, 3.6 KiB free\n"})
    EXPECT_THAT(text, HasSubstr(part));
  EXPECT_THAT(text, Not(HasSubstr("    8192 "))) << "a run of pages has no other object";
}

TEST(LiveView, FitsAnyTerminal) {
  json::object later = stats();
  for (int i = 0; i < 30; ++i) later["requests"].as_object()["OPCODE" + std::to_string(i)] = i + 1;
  json::array& classes = later["classes"].as_array();
  for (int i = 0; i < 30; ++i) classes.push_back(classes.front());
  const LiveFigures figures = live_figures(at(milliseconds(0), stats()), at(milliseconds(1000), later));
  for (const size_t columns : {0, 1, 10, 40, 80, 99, 100, 101, 250}) {
    for (const size_t rows : {0, 1, 5, 11, 24, 60, 100}) {
      const auto lines = live_view(figures, {columns, rows});
      EXPECT_LE(lines.size(), rows);
      for (const StyledLine& line : lines) EXPECT_LE(line.text(columns, false).size(), columns);
    }
  }
  const auto lines = live_view(figures, {80, 24});
  EXPECT_EQ(lines.size(), 24U) << "no row is left unused";
  const std::string text = text_of(figures, {80, 24});
  EXPECT_THAT(text, HasSubstr("OPCODE29"));
  EXPECT_THAT(text, HasSubstr("classes"));
  EXPECT_THAT(text_of(figures, {120, 24}), testing::ContainsRegex("requests   [0-9./s, a-z]*classes"));
}

TEST(LiveView, ColoursAreOnlyWhereTheyAreWanted) {
  json::object later = stats();
  later["mem_used_total"] = 4200000000;
  const LiveFigures figures = live_figures(at(milliseconds(0), stats()), at(milliseconds(1000), later));
  EXPECT_THAT(text_of(figures, {80, 24}), Not(HasSubstr("\x1b")));
  EXPECT_THAT(text_of(figures, {80, 24}, true), HasSubstr("\x1b[1;31m[#######"));
}

TEST(LiveView, NamesCannotMoveTheCursor) {
  json::object later = stats();
  later["mountpoint"] = "/mnt/\x1b[2J\xc2\x9b\ttrick";
  const LiveFigures figures = live_figures(at(milliseconds(0), stats()), at(milliseconds(1000), later));
  EXPECT_THAT(text_of(figures, {80, 24}), HasSubstr("build on /mnt/?[2J???trick, up"));
}

TEST(StyledLine, IsCutByCodePointsNotBytes) {
  StyledLine line("größe", Tone::kBold);
  line.add(" = 1");
  EXPECT_EQ(line.width(), 9U);
  EXPECT_EQ(line.text(4, false), "größ");
  EXPECT_EQ(line.text(3, true), "\x1b[1mgrö\x1b[0m");
  EXPECT_EQ(line.text(100, false), "größe = 1");
}

}  // namespace
}  // namespace ztmpfs
