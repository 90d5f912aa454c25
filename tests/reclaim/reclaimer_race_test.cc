#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "reclaim/reclaimer.h"
#include "tests/support/fake_clock.h"

namespace ztmpfs {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;

/// A run that stays in a shrinker's scan until it is let go.
class HeldRun {
 public:
  explicit HeldRun(Reclaimer& reclaimer)
      : registration_(reclaimer.add({.name = "held",
                                     .count = [] { return Bytes(1); },
                                     .scan =
                                         [this](Bytes) {
                                           entered_.set_value();
                                           let_go_.get_future().wait();
                                           has_left_ = true;
                                           return ShrinkResult{.freed = 1};
                                         }})),
        thread_([&reclaimer] { reclaimer.run({.target = 1}); }) {
    entered_.get_future().wait();
  }
  ~HeldRun() { thread_.join(); }
  HeldRun(const HeldRun&) = delete;
  HeldRun& operator=(const HeldRun&) = delete;
  void let_go() { let_go_.set_value(); }
  bool has_left() const { return has_left_; }
  void unregister() { registration_ = {}; }

 private:
  std::promise<void> entered_;
  std::promise<void> let_go_;
  std::atomic<bool> has_left_ = false;
  Reclaimer::Registration registration_;
  std::thread thread_;
};

class ReclaimerRaceTest : public testing::Test {
 protected:
  FakeClock clock_;
  Reclaimer reclaimer_{clock_};
};

// If stats() waited for the run, the test would hang.
TEST_F(ReclaimerRaceTest, StatsDoNotWaitForARun) {
  HeldRun run(reclaimer_);
  EXPECT_EQ(reclaimer_.stats().runs, 0U);
  EXPECT_FALSE(reclaimer_.backs_off());
  EXPECT_FALSE(run.has_left());
  run.let_go();
}

TEST_F(ReclaimerRaceTest, UnregistrationWaitsForTheRunThatUsesTheShrinker) {
  HeldRun run(reclaimer_);
  bool had_left = false;
  std::thread unregistering([&] {
    run.unregister();
    had_left = run.has_left();
  });
  // Gives the other thread time to be wrong.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  run.let_go();
  unregistering.join();
  EXPECT_TRUE(had_left);
}

TEST_F(ReclaimerRaceTest, NoRunUsesAShrinkerThatIsGone) {
  log_open(/*to_syslog=*/false, "test");
  std::atomic<bool> is_over = false;
  std::thread runs([&] {
    while (!is_over) reclaimer_.run({.cause = ReclaimCause::kNoSpace});
  });
  const auto come_and_go = [&](const std::string& name) {
    for (int i = 0; i < 500; ++i) {
      // What the shrinker uses ends right after its registration: a late scan would touch freed memory.
      auto scans = std::make_unique<std::atomic<int>>(0);
      const auto registration = reclaimer_.add({.name = name,
                                                .count = [] { return Bytes(1); },
                                                .scan =
                                                    [scans = scans.get()](Bytes) {
                                                      ++*scans;
                                                      return ShrinkResult{};
                                                    }});
      ASSERT_TRUE(registration);
      while (*scans == 0) std::this_thread::yield();
    }
  };
  std::thread one([&] { come_and_go("one"); });
  std::thread two([&] { come_and_go("two"); });
  one.join();
  two.join();
  is_over = true;
  runs.join();
}

TEST_F(ReclaimerRaceTest, RunsAreOneAfterTheOther) {
  constexpr int kThreads = 4;
  constexpr int kRuns = 100;
  // Not atomic: a second run at the same time is a data race, and shows in the numbers.
  int inside = 0;
  int inside_max = 0;
  const auto registration = reclaimer_.add({.name = "shared",
                                            .count = [] { return Bytes(1); },
                                            .scan =
                                                [&](Bytes) {
                                                  inside_max = std::max(inside_max, ++inside);
                                                  std::this_thread::yield();
                                                  --inside;
                                                  return ShrinkResult{};
                                                }});
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i)
    threads.emplace_back([&] {
      for (int run = 0; run < kRuns; ++run) reclaimer_.run({.cause = ReclaimCause::kNoSpace});
    });
  for (int i = 0; i < kRuns; ++i) EXPECT_THAT(reclaimer_.stats().runs, AllOf(Ge(0U), Le(kThreads * kRuns)));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(inside_max, 1);
  EXPECT_EQ(reclaimer_.stats().runs, kThreads * kRuns);
}

}  // namespace
}  // namespace ztmpfs
