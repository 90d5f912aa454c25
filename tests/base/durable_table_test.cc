#include "base/durable_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "tests/base/small_image.h"

namespace ztmpfs {
namespace {

struct Record {
  uint64_t in_use;
  std::array<uint64_t, 15> payload;
};
constexpr uint32_t kPerPage = DurableTable<Record>::kRecordsPerPage;
static_assert(kPerPage == 32);

bool in_use(uint32_t, const Record& record) { return record.in_use != 0; }

class DurableTableTest : public testing::Test {
 protected:
  uint32_t take() {
    const uint32_t id = table_.allocator().allocate();
    if (id != 0) table_[id].in_use = 1;
    return id;
  }
  std::vector<uint32_t> take(size_t count) {
    std::vector<uint32_t> ids(count);
    std::ranges::generate(ids, [this] { return take(); });
    return ids;
  }
  void give_back(uint32_t id) {
    table_[id].in_use = 0;
    table_.allocator().release(id);
  }
  Bytes resident() const { return image_.allocated() - kPageSize; }  // but for the header

  Image image_{small_image()};
  MemoryBudget budget_{kGiB, 0};
  DurableTable<Record> table_{image_.region(RegionId::kInodes), budget_};
};

TEST_F(DurableTableTest, NeverGivesOutNumberZero) { EXPECT_EQ(take(), 1u); }

TEST_F(DurableTableTest, GivesOutZeroedRecords) {
  const uint32_t id = table_.allocator().allocate();
  EXPECT_EQ(table_[id].in_use, 0u);
  EXPECT_EQ(table_[id].payload[14], 0u);
}

TEST_F(DurableTableTest, GivesOutTheLowestPageFirst) {
  const auto ids = take(3 * kPerPage);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  give_back(ids[kPerPage * 2]);
  give_back(ids[5]);
  EXPECT_EQ(take(), ids[5]);
  EXPECT_EQ(take(), ids[kPerPage * 2]);
}

TEST_F(DurableTableTest, CountsRecordsAndPagesAsTheOsDoes) {
  EXPECT_EQ(table_.allocator().resident(), 0u);
  const auto ids = take(2 * kPerPage);  // number 0 takes a place: these need a third page
  EXPECT_EQ(table_.allocator().records_used(), 2 * kPerPage);
  EXPECT_EQ(table_.allocator().resident(), 3 * kPageSize);
  EXPECT_EQ(resident(), 3 * kPageSize);
  EXPECT_EQ(budget_.used(), 3 * kPageSize);
}

TEST_F(DurableTableTest, KnowsWhichNumbersAreInUse) {
  const uint32_t id = take();
  EXPECT_TRUE(table_.contains(id));
  EXPECT_FALSE(table_.contains(0));
  EXPECT_FALSE(table_.contains(id + 1));
  EXPECT_FALSE(table_.contains(~0U));
  give_back(id);
  EXPECT_FALSE(table_.contains(id));
  EXPECT_EQ(resident(), kPageSize) << "asking must not make pages resident";
}

TEST_F(DurableTableTest, GivesEmptyPagesBackToTheOs) {
  auto ids = take(100 * kPerPage);
  EXPECT_EQ(resident(), 101 * kPageSize);
  for (const uint32_t id : ids) give_back(id);
  EXPECT_LE(resident(), 10 * kPageSize);
  EXPECT_EQ(table_.allocator().resident(), resident());
  EXPECT_EQ(budget_.used(), resident());
  EXPECT_EQ(table_.allocator().records_used(), 0u);
}

TEST_F(DurableTableTest, ReusesPagesGivenBackLowestFirst) {
  const auto ids = take(100 * kPerPage);
  for (const uint32_t id : ids) give_back(id);
  EXPECT_EQ(take(100 * kPerPage), ids);
  EXPECT_EQ(resident(), 101 * kPageSize);
}

TEST_F(DurableTableTest, TellsWhichPageItIsAboutToGiveBack) {
  std::vector<uint32_t> punched;
  table_.allocator().set_before_punch([&](uint32_t first) {
    EXPECT_EQ(table_[first].payload[0], first) << "the page must still hold its records";
    punched.push_back(first);
  });
  const auto ids = take(20 * kPerPage - 1);
  for (uint32_t page = 0; page < 20; ++page) table_[page * kPerPage].payload[0] = page * kPerPage;
  for (const uint32_t id : ids) give_back(id);
  EXPECT_EQ(punched.size(), 20 - table_.allocator().resident() / kPageSize);
  EXPECT_GT(punched.size(), 5u);
  for (const uint32_t first : punched) EXPECT_EQ(first % kPerPage, 0u);
  EXPECT_EQ(std::ranges::count(punched, 0u), 0) << "the page of number 0 stays";
}

TEST_F(DurableTableTest, RefusesAtTheMemoryCapAndGoesOnBelowIt) {
  budget_.set_limit(2 * kPageSize);
  const auto ids = take(2 * kPerPage - 1);
  EXPECT_EQ(std::ranges::count(ids, 0u), 0);
  EXPECT_EQ(take(), 0u);
  EXPECT_EQ(budget_.used(), 2 * kPageSize);
  give_back(ids[7]);
  EXPECT_EQ(take(), ids[7]);
  budget_.set_limit(3 * kPageSize);
  EXPECT_EQ(take(), 2 * kPerPage);
}

TEST_F(DurableTableTest, RefusesWhenFull) {
  const size_t records = image_.region(RegionId::kInodes).length() / kPageSize * kPerPage - 1;
  const auto ids = take(records);
  EXPECT_EQ(std::ranges::count(ids, 0u), 0);
  EXPECT_EQ(take(), 0u);
  EXPECT_EQ(budget_.used(), table_.allocator().resident());
}

TEST_F(DurableTableTest, AttachFindsTheRecordsInUse) {
  auto ids = take(10 * kPerPage);
  for (size_t i = 0; i < ids.size(); i += 3) give_back(ids[i]);
  MemoryBudget budget(kGiB, 0);
  DurableTable<Record> successor(image_.region(RegionId::kInodes), budget);
  successor.attach(in_use);
  EXPECT_EQ(successor.allocator().records_used(), table_.allocator().records_used());
  EXPECT_EQ(successor.allocator().resident(), resident());
  EXPECT_EQ(budget.used(), resident());
  for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(successor.contains(ids[i]), i % 3 != 0);
  EXPECT_EQ(successor.allocator().allocate(), ids[0]);
}

TEST_F(DurableTableTest, AttachGivesBackPagesThatNobodyUses) {
  const auto ids = take(10 * kPerPage);
  for (const uint32_t id : ids) table_[id].in_use = id >= 9 * kPerPage;
  MemoryBudget budget(kGiB, 0);
  DurableTable<Record> successor(image_.region(RegionId::kInodes), budget);
  successor.attach(in_use);
  EXPECT_EQ(resident(), 3 * kPageSize);  // numbers 0, 288.. and 320
  EXPECT_EQ(budget.used(), 3 * kPageSize);
  EXPECT_EQ(successor.allocator().allocate(), 1u);
}

TEST_F(DurableTableTest, AttachOfAnEmptyTableAllocatesNothing) {
  table_.attach(in_use);
  EXPECT_EQ(resident(), 0u);
  EXPECT_EQ(table_.allocator().records_used(), 0u);
  EXPECT_EQ(take(), 1u);
}

TEST_F(DurableTableTest, AttachWorksWithoutThePageOfNumberZero) {
  ASSERT_TRUE(image_.region(RegionId::kInodes).populate(5 * kPageSize, kPageSize));
  table_[5 * kPerPage + 3].in_use = 1;
  table_.attach(in_use);
  EXPECT_EQ(table_.allocator().records_used(), 1u);
  EXPECT_EQ(take(), 5 * kPerPage);
  take(kPerPage - 2);
  EXPECT_EQ(take(), 1u);
  EXPECT_EQ(table_.allocator().records_used(), kPerPage + 1);
}

TEST_F(DurableTableTest, GivesDifferentNumbersToDifferentThreads) {
  std::vector<std::vector<uint32_t>> taken(4);
  std::vector<std::thread> threads;
  for (auto& mine : taken) {
    threads.emplace_back([this, &mine] {
      for (int round = 0; round < 2000; ++round) {
        mine.push_back(table_.allocator().allocate());
        if (round % 3 != 0) continue;
        table_.allocator().release(mine.front());
        mine.erase(mine.begin());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  std::set<uint32_t> all;
  size_t count = 0;
  for (const auto& mine : taken) {
    all.insert(mine.begin(), mine.end());
    count += mine.size();
  }
  EXPECT_EQ(all.size(), count);
  EXPECT_EQ(table_.allocator().records_used(), count);
  EXPECT_FALSE(all.contains(0));
}

TEST(RecordAllocator, FillsPagesOfMoreThan64Records) {
  const Image image(small_image());
  MemoryBudget budget(kGiB, 0);
  RecordAllocator allocator(image.region(RegionId::kBlocks), 170, budget);
  for (uint32_t id = 1; id < 170; ++id) EXPECT_EQ(allocator.allocate(), id);
  EXPECT_EQ(allocator.resident(), kPageSize);
  EXPECT_EQ(allocator.allocate(), 170u);
  EXPECT_EQ(allocator.resident(), 2 * kPageSize);
}

using DurableTableDeathTest = DurableTableTest;

TEST_F(DurableTableDeathTest, AbortsWhenARecordIsReleasedTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const uint32_t id = take();
  give_back(id);
  EXPECT_DEATH(table_.allocator().release(id), "released twice");
  EXPECT_DEATH(table_.allocator().release(0), "released twice");
  EXPECT_DEATH(table_.allocator().release(1'000'000), "released that never was");
}

}  // namespace
}  // namespace ztmpfs
