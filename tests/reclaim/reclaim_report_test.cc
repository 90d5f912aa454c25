#include <gtest/gtest.h>

#include "reclaim/reclaimer.h"

namespace ztmpfs {
namespace {

using std::chrono::milliseconds;

TEST(ReclaimReport, NamesEachShrinkerWithWhatItFreedAndMoved) {
  ReclaimReport report{.cause = ReclaimCause::kPressure, .level = PressureLevel::kSome};
  report.target = ReclaimRequest::kEverything;
  report.freed = 123 * kMiB / 10;
  report.moved = 51 * kMiB / 10;
  report.time = milliseconds(35);
  report.parts = {{"free_spans", {.freed = 4 * kMiB}},
                  {"compaction", {.freed = 83 * kMiB / 10, .moved = report.moved}}};
  EXPECT_EQ(describe(report),
            "reclaim (pressure some): freed 12.3 MiB of everything it could in 35 ms: "
            "free_spans 4.0 MiB, compaction 8.3 MiB (moved 5.1 MiB)");
}

TEST(ReclaimReport, NamesTheTarget) {
  ReclaimReport report{.cause = ReclaimCause::kNoSpace, .target = 128 * kKiB, .freed = 132 * kKiB};
  report.parts = {{"free_spans", {.freed = 132 * kKiB}}};
  EXPECT_EQ(describe(report), "reclaim (no_space full): freed 132.0 KiB of 128.0 KiB in 0 ms: free_spans 132.0 KiB");
}

TEST(ReclaimReport, SaysWhatIsStuck) {
  ReclaimReport report{.cause = ReclaimCause::kPressure, .target = 64 * kMiB, .time = milliseconds(3), .stuck = true};
  report.parts = {{"hot_blocks", {.stuck = true}}, {"compaction", {.moved = 4096, .stuck = true}}};
  EXPECT_EQ(describe(report),
            "reclaim (pressure full): stuck, freed 0 B of 64.0 MiB in 3 ms: "
            "hot_blocks 0 B (stuck), compaction 0 B (moved 4.0 KiB, stuck)");
}

TEST(ReclaimReport, SaysThatNothingWasTried) {
  const ReclaimReport report{.cause = ReclaimCause::kPressure, .level = PressureLevel::kSome, .backed_off = true};
  EXPECT_EQ(describe(report), "reclaim (pressure some): backed off");
}

TEST(ReclaimReport, EndsWithTheTimeWhereThereWasNothing) {
  ReclaimReport report;
  report.target = ReclaimRequest::kEverything;
  EXPECT_EQ(describe(report), "reclaim (manual full): freed 0 B of everything it could in 0 ms");
}

}  // namespace
}  // namespace ztmpfs
