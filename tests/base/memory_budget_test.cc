#include "base/memory_budget.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ztmpfs {
namespace {

TEST(MemoryBudget, StopsContentsBeforeMetadataAndMetadataBeforeTheLimit) {
  MemoryBudget budget(1000, 100);
  EXPECT_TRUE(budget.try_charge_contents(900));
  EXPECT_FALSE(budget.try_charge_contents(1));
  EXPECT_TRUE(budget.try_charge_metadata(50));
  EXPECT_FALSE(budget.try_charge_metadata(1));
  EXPECT_EQ(budget.used(), 950u);
}

TEST(MemoryBudget, ChargesNothingWhenItRefuses) {
  MemoryBudget budget(1000, 100);
  EXPECT_FALSE(budget.try_charge_contents(901));
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_EQ(budget.peak(), 0u);
  EXPECT_TRUE(budget.try_charge_contents(900));
}

TEST(MemoryBudget, TakesBackWhatIsUncharged) {
  MemoryBudget budget(1000, 0);
  EXPECT_TRUE(budget.try_charge_contents(1000));
  budget.uncharge(400);
  EXPECT_EQ(budget.used(), 600u);
  EXPECT_EQ(budget.available(), 400u);
  EXPECT_EQ(budget.peak(), 1000u);
}

TEST(MemoryBudget, CountsTheOverhead) {
  MemoryBudget budget(1000, 0);
  budget.set_overhead(300);
  EXPECT_EQ(budget.used(), 300u);
  EXPECT_EQ(budget.peak(), 300u);
  EXPECT_FALSE(budget.try_charge_contents(701));
  EXPECT_TRUE(budget.try_charge_contents(700));
}

TEST(MemoryBudget, ChargesWhatIsResidentWhateverTheLimit) {
  MemoryBudget budget(1000, 100);
  budget.charge(2000);
  EXPECT_EQ(budget.used(), 2000u);
  EXPECT_EQ(budget.available(), 0u);
  EXPECT_FALSE(budget.try_charge_metadata(1));
}

TEST(MemoryBudget, FollowsALimitThatMoves) {
  MemoryBudget budget(1000, 100);
  EXPECT_TRUE(budget.try_charge_contents(900));
  budget.set_limit(500);
  EXPECT_EQ(budget.available(), 0u);
  EXPECT_FALSE(budget.try_charge_metadata(1));
  budget.set_limit(2000);
  EXPECT_EQ(budget.available(), 1000u);
  EXPECT_TRUE(budget.try_charge_contents(1000));
}

TEST(MemoryBudget, NeverRefusesASmallChargeBecauseALargeOneFails) {
  MemoryBudget budget(1000, 0);
  std::atomic<bool> done = false;
  std::thread large([&] {
    while (!done) budget.try_charge_contents(5000);
  });
  bool refused = false;
  for (int round = 0; round < 20000; ++round) {
    if (!budget.try_charge_contents(10))
      refused = true;
    else
      budget.uncharge(10);
  }
  done = true;
  large.join();
  EXPECT_FALSE(refused);
}

TEST(MemoryBudget, StaysBelowTheLimitWithManyThreads) {
  MemoryBudget budget(1000, 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&budget] {
      for (int round = 0; round < 5000; ++round)
        if (budget.try_charge_contents(300)) budget.uncharge(300);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_LE(budget.peak(), 1000u);
}

}  // namespace
}  // namespace ztmpfs
