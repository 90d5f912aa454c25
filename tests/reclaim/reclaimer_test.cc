#include "reclaim/reclaimer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/log.h"
#include "tests/reclaim/scripted_shrinker.h"
#include "tests/support/fake_clock.h"

namespace ztmpfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::StartsWith;

constexpr ReclaimRequest kUnderPressure{.cause = ReclaimCause::kPressure};

/// What is written to the log for as long as this lives.
class CapturedLog {
 public:
  CapturedLog() {
    log_open(/*to_syslog=*/false, "test");
    testing::internal::CaptureStderr();
  }
  ~CapturedLog() {
    if (!is_taken_) testing::internal::GetCapturedStderr();
  }
  CapturedLog(const CapturedLog&) = delete;
  CapturedLog& operator=(const CapturedLog&) = delete;
  std::string take() {
    is_taken_ = true;
    return testing::internal::GetCapturedStderr();
  }

 private:
  bool is_taken_ = false;
};

class ReclaimerTest : public testing::Test {
 protected:
  FakeClock clock_;
  Reclaimer reclaimer_{clock_};
};

TEST_F(ReclaimerTest, UsesTheCheapestShrinkerFirst) {
  ScriptedShrinker dear("dear", 9, 100);
  ScriptedShrinker cheap("cheap", 1, 200);
  ScriptedShrinker cheap_too("cheap_too", 1, 300);
  for (ScriptedShrinker* shrinker : {&dear, &cheap, &cheap_too}) shrinker->register_with(reclaimer_);
  const ReclaimReport report = reclaimer_.run({});
  ASSERT_THAT(report.parts, SizeIs(3));
  EXPECT_EQ(report.parts[0].shrinker, "cheap");
  EXPECT_EQ(report.parts[1].shrinker, "cheap_too");
  EXPECT_EQ(report.parts[2].shrinker, "dear");
  EXPECT_EQ(report.freed, 600U);
  EXPECT_EQ(report.target, ReclaimRequest::kEverything);
  EXPECT_FALSE(report.stuck);
}

TEST_F(ReclaimerTest, AsksForNoMoreThanIsLeftOfTheTarget) {
  ScriptedShrinker cheap("cheap", 1, 3 * kMiB);
  ScriptedShrinker dear("dear", 2, 20 * kMiB);
  ScriptedShrinker dearest("dearest", 3, 20 * kMiB);
  for (ScriptedShrinker* shrinker : {&cheap, &dear, &dearest}) shrinker->register_with(reclaimer_);
  const ReclaimReport report = reclaimer_.run({.target = 9 * kMiB});
  EXPECT_EQ(report.freed, 9 * kMiB);
  EXPECT_THAT(cheap.budgets(), ElementsAre(4 * kMiB));
  EXPECT_THAT(dear.budgets(), ElementsAre(4 * kMiB, 2 * kMiB));
  EXPECT_THAT(dearest.budgets(), IsEmpty());
}

TEST_F(ReclaimerTest, TakesMoreThanItAskedForWithoutGoingOn) {
  ScriptedShrinker generous("generous", 1, kGiB);
  ScriptedShrinker dear("dear", 2, kGiB);
  generous.register_with(reclaimer_);
  dear.register_with(reclaimer_);
  generous.set_script([&](Bytes budget) { return generous.free(100 * budget); });
  const ReclaimReport report = reclaimer_.run({.target = 10});
  EXPECT_EQ(report.freed, 1000U);
  EXPECT_THAT(generous.budgets(), ElementsAre(10U));
  EXPECT_THAT(dear.budgets(), IsEmpty());
}

TEST_F(ReclaimerTest, SumsStopAtTheLargestNumber) {
  ScriptedShrinker liar("liar", 1, kGiB);
  liar.register_with(reclaimer_);
  liar.set_script([&](Bytes) {
    liar.set_available(0);
    return ShrinkResult{.freed = ReclaimRequest::kEverything - 1, .moved = ReclaimRequest::kEverything - 1};
  });
  ScriptedShrinker honest("honest", 2, kMiB);
  honest.register_with(reclaimer_);
  honest.set_script([&](Bytes budget) {
    honest.free(kMiB);
    return ShrinkResult{.freed = budget + 5, .moved = 7};
  });
  const ReclaimReport report = reclaimer_.run({});
  EXPECT_THAT(honest.budgets(), ElementsAre(1U));
  EXPECT_EQ(report.freed, ReclaimRequest::kEverything);
  EXPECT_EQ(report.moved, ReclaimRequest::kEverything);
}

TEST_F(ReclaimerTest, LeavesShrinkersAboveTheLevelAlone) {
  ScriptedShrinker for_some("for_some", 2, kMiB);
  ScriptedShrinker for_full("for_full", 1, kMiB, PressureLevel::kFull);
  for_some.register_with(reclaimer_);
  for_full.register_with(reclaimer_);
  EXPECT_EQ(reclaimer_.run({.level = PressureLevel::kSome}).freed, kMiB);
  EXPECT_THAT(for_full.budgets(), IsEmpty());
  for_some.set_available(kMiB);
  EXPECT_EQ(reclaimer_.run({.level = PressureLevel::kFull}).freed, 2 * kMiB);
}

TEST_F(ReclaimerTest, UsesTheOneShrinkerThatIsAskedFor) {
  ScriptedShrinker cheap("cheap", 1, kMiB);
  ScriptedShrinker dear("dear", 2, kMiB);
  cheap.register_with(reclaimer_);
  dear.register_with(reclaimer_);
  const ReclaimReport report = reclaimer_.run({.only = "dear"});
  ASSERT_THAT(report.parts, SizeIs(1));
  EXPECT_EQ(report.parts[0].shrinker, "dear");
  EXPECT_EQ(cheap.available(), kMiB);
  EXPECT_THAT(reclaimer_.run({.only = "unknown"}).parts, IsEmpty());
}

TEST_F(ReclaimerTest, StartsNoScanAfterTheTimeLimit) {
  ScriptedShrinker slow("slow", 1, kGiB);
  ScriptedShrinker dear("dear", 2, kGiB);
  slow.register_with(reclaimer_);
  dear.register_with(reclaimer_);
  slow.set_script([&](Bytes budget) {
    clock_.advance(milliseconds(40));
    return slow.free(budget);
  });
  const ReclaimReport report = reclaimer_.run({.time_max = milliseconds(100)});
  EXPECT_THAT(slow.budgets(), SizeIs(3));
  EXPECT_THAT(dear.budgets(), IsEmpty());
  EXPECT_EQ(report.freed, 12 * kMiB);
  EXPECT_EQ(report.time, milliseconds(120));
}

TEST_F(ReclaimerTest, NoTargetOrNoTimeMeansNoScan) {
  ScriptedShrinker shrinker("shrinker", 1, kGiB);
  shrinker.register_with(reclaimer_);
  EXPECT_EQ(reclaimer_.run({.target = 0}).freed, 0U);
  EXPECT_EQ(reclaimer_.run({.time_max = milliseconds(0)}).freed, 0U);
  EXPECT_THAT(shrinker.budgets(), IsEmpty());
  EXPECT_EQ(reclaimer_.stats().stuck_runs, 0U);
}

TEST_F(ReclaimerTest, LeavesAShrinkerThatIsStuckForTheNextOne) {
  ScriptedShrinker busy("busy", 1, kGiB);
  ScriptedShrinker dear("dear", 2, kMiB);
  busy.register_with(reclaimer_);
  dear.register_with(reclaimer_);
  busy.set_script([&](Bytes) { return ShrinkResult{.freed = kPageSize, .moved = 10, .stuck = true}; });
  const ReclaimReport report = reclaimer_.run({});
  EXPECT_THAT(busy.budgets(), SizeIs(1));
  ASSERT_THAT(report.parts, SizeIs(2));
  EXPECT_TRUE(report.parts[0].result.stuck);
  EXPECT_FALSE(report.parts[1].result.stuck);
  EXPECT_EQ(report.freed, kPageSize + kMiB);
  EXPECT_EQ(report.moved, 10U);
  EXPECT_FALSE(report.stuck);
}

TEST_F(ReclaimerTest, LeavesAShrinkerThatNeitherFreesNorMoves) {
  ScriptedShrinker idle("idle", 1, kGiB);
  idle.register_with(reclaimer_);
  idle.set_script([](Bytes) { return ShrinkResult{}; });
  EXPECT_TRUE(reclaimer_.run({}).stuck);
  EXPECT_THAT(idle.budgets(), SizeIs(1));
}

TEST_F(ReclaimerTest, GoesOnWithAShrinkerThatMovesUntilItHasNothing) {
  ScriptedShrinker mover("mover", 1, 5 * kMiB);
  mover.register_with(reclaimer_);
  mover.set_script([&](Bytes) {
    mover.free(kMiB);
    return ShrinkResult{.moved = kMiB};
  });
  const ReclaimReport report = reclaimer_.run({});
  EXPECT_THAT(mover.budgets(), SizeIs(5));
  EXPECT_EQ(report.moved, 5 * kMiB);
  EXPECT_FALSE(report.stuck);
}

TEST_F(ReclaimerTest, AShrinkerThatMovesForEverEndsByTheTimeLimit) {
  ScriptedShrinker liar("liar", 1, kGiB);
  liar.register_with(reclaimer_);
  liar.set_script([&](Bytes) {
    clock_.advance(milliseconds(1));
    return ShrinkResult{.moved = 1};
  });
  const ReclaimReport report = reclaimer_.run({.time_max = milliseconds(50)});
  EXPECT_THAT(liar.budgets(), SizeIs(50));
  EXPECT_EQ(report.moved, 50U);
  EXPECT_FALSE(report.stuck);
}

TEST_F(ReclaimerTest, NothingToFreeIsNotStuck) {
  ScriptedShrinker empty("empty", 1, 0);
  empty.register_with(reclaimer_);
  for (int i = 0; i < 3; ++i) {
    const ReclaimReport report = reclaimer_.run(kUnderPressure);
    EXPECT_FALSE(report.stuck);
    EXPECT_FALSE(report.backed_off);
    EXPECT_THAT(report.parts, IsEmpty());
  }
  EXPECT_FALSE(reclaimer_.backs_off());
  empty.set_available(kMiB);
  EXPECT_EQ(reclaimer_.run(kUnderPressure).freed, kMiB);
}

/// With one shrinker that is stuck until told otherwise.
class BackOffTest : public ReclaimerTest {
 protected:
  void SetUp() override {
    shrinker_.register_with(reclaimer_);
    shrinker_.set_script(
        [this](Bytes budget) { return is_stuck_ ? ShrinkResult{.stuck = true} : shrinker_.free(budget); });
  }
  ReclaimReport press(PressureLevel level = PressureLevel::kFull) {
    return reclaimer_.run({.cause = ReclaimCause::kPressure, .level = level, .target = kMiB});
  }
  /// Is stuck once more, and returns for how long pressure is refused then.
  milliseconds back_off() {
    EXPECT_TRUE(press().stuck);
    milliseconds time{0};
    for (; reclaimer_.backs_off(); time += milliseconds(100)) clock_.advance(milliseconds(100));
    return time;
  }

  ScriptedShrinker shrinker_{"shrinker", 1, kGiB};
  bool is_stuck_ = true;
};

TEST_F(BackOffTest, DoublesFromASecondToAMinute) {
  EXPECT_FALSE(reclaimer_.backs_off());
  for (const int expected : {1, 2, 4, 8, 16, 32, 60, 60}) EXPECT_EQ(back_off(), seconds(expected));
}

TEST_F(BackOffTest, RefusesPressureWithoutAskingAShrinker) {
  EXPECT_FALSE(press().backed_off);
  clock_.advance(milliseconds(999));
  const ReclaimReport refused = press();
  EXPECT_TRUE(refused.backed_off);
  EXPECT_FALSE(refused.stuck);
  EXPECT_THAT(shrinker_.budgets(), SizeIs(1));
  const ReclaimStats stats = reclaimer_.stats();
  EXPECT_EQ(stats.runs, 1U);
  EXPECT_EQ(stats.stuck_runs, 1U);
  EXPECT_EQ(stats.backed_off, 1U);
  EXPECT_FALSE(stats.last->backed_off);
  clock_.advance(milliseconds(1));
  EXPECT_FALSE(press().backed_off);
}

TEST_F(BackOffTest, RefusesNoOneElse) {
  press();
  is_stuck_ = false;
  EXPECT_EQ(reclaimer_.run({.cause = ReclaimCause::kManual, .target = 1}).freed, 1U);
  is_stuck_ = true;
  press();
  is_stuck_ = false;
  EXPECT_EQ(reclaimer_.run({.cause = ReclaimCause::kNoSpace, .target = 1}).freed, 1U);
}

TEST_F(BackOffTest, IsNotCausedByAnyoneElse) {
  EXPECT_TRUE(reclaimer_.run({.cause = ReclaimCause::kManual}).stuck);
  EXPECT_TRUE(reclaimer_.run({.cause = ReclaimCause::kNoSpace}).stuck);
  EXPECT_FALSE(reclaimer_.backs_off());
}

TEST_F(BackOffTest, EndsWhenAnyRunFreesSomething) {
  EXPECT_EQ(back_off(), seconds(1));
  EXPECT_TRUE(press().stuck);
  EXPECT_TRUE(reclaimer_.backs_off());
  is_stuck_ = false;
  reclaimer_.run({.cause = ReclaimCause::kManual, .target = 1});
  EXPECT_FALSE(reclaimer_.backs_off());
  is_stuck_ = true;
  EXPECT_EQ(back_off(), seconds(1));
}

TEST_F(BackOffTest, OfALowerLevelDoesNotHoldBackAHigherOne) {
  EXPECT_TRUE(press(PressureLevel::kSome).stuck);
  EXPECT_TRUE(press(PressureLevel::kSome).backed_off);
  EXPECT_FALSE(press(PressureLevel::kFull).backed_off);
  EXPECT_TRUE(press(PressureLevel::kFull).backed_off);
}

TEST_F(BackOffTest, OfAHigherLevelHoldsBackALowerOne) {
  EXPECT_TRUE(press(PressureLevel::kFull).stuck);
  EXPECT_TRUE(reclaimer_.backs_off(PressureLevel::kSome));
  EXPECT_TRUE(press(PressureLevel::kSome).backed_off);
}

TEST_F(ReclaimerTest, AShrinkerThatThrowsIsNamedAndStuckAndTheNextOneIsUsed) {
  ScriptedShrinker thrower("thrower", 1, kGiB);
  thrower.register_with(reclaimer_);
  thrower.set_script([](Bytes) -> ShrinkResult { throw std::runtime_error("no luck"); });
  const auto counter = reclaimer_.add({.name = "counter",
                                       .cost = 2,
                                       .count = []() -> Bytes { throw 5; },
                                       .scan = [](Bytes) { return ShrinkResult{}; }});
  ScriptedShrinker dear("dear", 3, kMiB);
  dear.register_with(reclaimer_);
  CapturedLog captured;
  const ReclaimReport report = reclaimer_.run({});
  const std::string lines = captured.take();
  EXPECT_THAT(lines, HasSubstr("warning: reclaim: shrinker thrower failed: no luck\n"));
  EXPECT_THAT(lines, HasSubstr("warning: reclaim: shrinker counter failed: an unknown exception\n"));
  EXPECT_EQ(report.freed, kMiB);
  ASSERT_THAT(report.parts, SizeIs(3));
  EXPECT_TRUE(report.parts[0].result.stuck);
  EXPECT_TRUE(report.parts[1].result.stuck);
}

TEST_F(ReclaimerTest, ARunWithinARunIsStuck) {
  ScriptedShrinker nested("nested", 1, 10);
  nested.register_with(reclaimer_);
  std::optional<ReclaimReport> inner;
  nested.set_script([&](Bytes budget) {
    inner = reclaimer_.run({});
    return nested.free(budget);
  });
  EXPECT_EQ(reclaimer_.run({}).freed, 10U);
  ASSERT_TRUE(inner.has_value());
  EXPECT_TRUE(inner->stuck);
  EXPECT_THAT(inner->parts, IsEmpty());
  nested.set_script({});
  nested.set_available(10);
  EXPECT_EQ(reclaimer_.run({}).freed, 10U) << "the thread is still taken for one in a run";
}

TEST_F(ReclaimerTest, TheSecondOfANameIsNotRegistered) {
  ScriptedShrinker first("name", 2, kMiB);
  ScriptedShrinker second("name", 1, kMiB);
  first.register_with(reclaimer_);
  CapturedLog captured;
  second.register_with(reclaimer_);
  EXPECT_THAT(captured.take(), HasSubstr("warning: reclaim: there is a shrinker name already"));
  EXPECT_TRUE(first.is_registered());
  EXPECT_FALSE(second.is_registered());
  EXPECT_EQ(reclaimer_.run({}).freed, kMiB);
  EXPECT_EQ(second.available(), kMiB);
}

TEST_F(ReclaimerTest, AShrinkerIsUsedForAsLongAsItsRegistrationLives) {
  unsigned scans = 0;
  const auto add = [&](const std::string& name) {
    return reclaimer_.add({.name = name,
                           .count = [] { return Bytes(1); },
                           .scan =
                               [&](Bytes) {
                                 ++scans;
                                 return ShrinkResult{};
                               }});
  };
  const auto scans_of_a_run = [&] {
    scans = 0;
    reclaimer_.run({});
    return scans;
  };
  std::optional<Reclaimer::Registration> first = add("first");
  Reclaimer::Registration second = add("second");
  EXPECT_EQ(scans_of_a_run(), 2U);
  Reclaimer::Registration moved(std::move(*first));
  first.reset();
  EXPECT_EQ(scans_of_a_run(), 2U) << "the registration was moved, not ended";
  second = std::move(moved);
  EXPECT_EQ(scans_of_a_run(), 1U) << "what was assigned over has ended";
  EXPECT_TRUE(add("second")) << "the name is free again";
  second = {};
  EXPECT_EQ(scans_of_a_run(), 0U);
}

TEST_F(ReclaimerTest, StatsAddUpByShrinker) {
  EXPECT_FALSE(reclaimer_.stats().last.has_value());
  ScriptedShrinker cheap("cheap", 1, 6 * kMiB);
  ScriptedShrinker dear("dear", 2, 6 * kMiB);
  cheap.register_with(reclaimer_);
  dear.register_with(reclaimer_);
  reclaimer_.run({.cause = ReclaimCause::kNoSpace, .target = 5 * kMiB});
  reclaimer_.run({.cause = ReclaimCause::kPressure, .target = 5 * kMiB});
  const ReclaimStats stats = reclaimer_.stats();
  EXPECT_EQ(stats.runs, 2U);
  EXPECT_EQ(stats.stuck_runs, 0U);
  EXPECT_THAT(stats.freed, ElementsAre(Pair("cheap", 6 * kMiB), Pair("dear", 4 * kMiB)));
  ASSERT_TRUE(stats.last.has_value());
  EXPECT_EQ(stats.last->cause, ReclaimCause::kPressure);
  EXPECT_THAT(stats.last->parts, SizeIs(2));
}

TEST_F(ReclaimerTest, LogsOneLinePerRun) {
  ScriptedShrinker shrinker("shrinker", 1, 2 * kMiB);
  shrinker.register_with(reclaimer_);
  CapturedLog captured;
  reclaimer_.run({.cause = ReclaimCause::kPressure, .target = kMiB});
  reclaimer_.run({.cause = ReclaimCause::kManual, .target = kMiB});
  reclaimer_.run({.cause = ReclaimCause::kManual});
  EXPECT_EQ(captured.take(),
            "ztmpfs test: info: reclaim (pressure full): freed 1.0 MiB of 1.0 MiB in 0 ms: shrinker 1.0 MiB\n"
            "ztmpfs test: info: reclaim (manual full): freed 1.0 MiB of 1.0 MiB in 0 ms: shrinker 1.0 MiB\n"
            "ztmpfs test: info: reclaim (manual full): freed 0 B of everything it could in 0 ms\n");
}

TEST_F(ReclaimerTest, LogsRunsOfWritersButNotEachOfMany) {
  ScriptedShrinker shrinker("shrinker", 1, kGiB);
  shrinker.register_with(reclaimer_);
  // Those of other tests may have been logged in this second.
  std::this_thread::sleep_for(milliseconds(1100));
  CapturedLog captured;
  for (int i = 0; i < 1000; ++i) reclaimer_.run({.cause = ReclaimCause::kNoSpace, .target = kKiB});
  const std::string lines = captured.take();
  EXPECT_THAT(lines, StartsWith("ztmpfs test: info: reclaim (no_space full): freed 1.0 KiB of 1.0 KiB in 0 ms: "));
  EXPECT_LT(std::ranges::count(lines, '\n'), 100);
  EXPECT_EQ(reclaimer_.stats().runs, 1000U);
}

TEST_F(ReclaimerTest, DoesNotLogWhatWasNotTriedAndFruitlessRunsOfWriters) {
  ScriptedShrinker shrinker("shrinker", 1, 0);
  shrinker.register_with(reclaimer_);
  shrinker.set_script([](Bytes) { return ShrinkResult{.stuck = true}; });
  CapturedLog captured;
  reclaimer_.run(kUnderPressure);
  reclaimer_.run({.cause = ReclaimCause::kNoSpace});
  shrinker.set_available(kMiB);
  reclaimer_.run({.cause = ReclaimCause::kNoSpace});
  reclaimer_.run({.cause = ReclaimCause::kPressure, .target = kMiB});
  reclaimer_.run({.cause = ReclaimCause::kPressure, .target = kMiB});
  EXPECT_EQ(captured.take(),
            "ztmpfs test: info: reclaim (pressure full): stuck, freed 0 B of 1.0 MiB in 0 ms: shrinker 0 B (stuck)\n");
}

TEST(ReclaimerDeathTest, ARegistrationMayNotOutliveTheReclaimer) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(
      {
        FakeClock clock;
        Reclaimer::Registration registration;
        Reclaimer reclaimer(clock);
        registration = reclaimer.add({.name = "late", .count = [] { return Bytes(0); }, .scan = {}});
      },
      "outlives the reclaimer");
}

}  // namespace
}  // namespace ztmpfs
