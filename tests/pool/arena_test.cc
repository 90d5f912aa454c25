#include "pool/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/memory_usage.h"
#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

class ArenaTest : public ::testing::Test {
 protected:
  Bytes allocated() const { return allocated_memory(image_.files().data.get()); }
  std::vector<std::string> audit() const {
    std::vector<std::string> breaches;
    arena_.audit(breaches);
    if (budget_.used() != arena_.used() + arena_.stock()) breaches.push_back("the budget's charge is wrong");
    return breaches;
  }

  Image image_{pool_image()};
  MemoryBudget budget_{8 * kMiB, 0};
  Arena arena_{image_.data(), budget_};
};

TEST_F(ArenaTest, ARunIsResidentAndChargedBeforeItIsTouched) {
  const auto run = arena_.allocate(5);
  ASSERT_TRUE(run);
  EXPECT_EQ(allocated(), 5 * kPageSize);
  EXPECT_EQ(budget_.used(), 5 * kPageSize);
  EXPECT_EQ(arena_.used(), 5 * kPageSize);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, TheLowestPlaceThatFitsWins) {
  const uint32_t first = arena_.allocate(4).value();
  const uint32_t second = arena_.allocate(4).value();
  const uint32_t third = arena_.allocate(4).value();
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  arena_.release(second, 4);
  EXPECT_EQ(arena_.allocate(5).value(), third + 4);
  EXPECT_EQ(arena_.allocate(3).value(), second);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, NoRunCrossesAChunk) {
  for (int i = 0; i < 60; ++i) {
    const uint32_t first = arena_.allocate(31).value();
    EXPECT_EQ(first / PageBits::kPages, (first + 30) / PageBits::kPages);
  }
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, WithoutStockReleasedPagesGoToTheOsAtOnce) {
  const uint32_t run = arena_.allocate(8).value();
  arena_.release(run, 8);
  EXPECT_EQ(allocated(), 0);
  EXPECT_EQ(budget_.used(), 0);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, TheStockServesTheNextAllocation) {
  arena_.set_stock_max(kMiB);
  const uint32_t low = arena_.allocate(8).value();
  arena_.bytes(low, 8)[0] = std::byte{7};
  arena_.release(low, 8);
  EXPECT_EQ(arena_.stock(), 8 * kPageSize);
  EXPECT_EQ(arena_.allocate(3).value(), low);
  EXPECT_EQ(arena_.bytes(low, 1)[0], std::byte{7}) << "the page was recycled, not made anew";
  EXPECT_EQ(arena_.stock(), 5 * kPageSize);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, TheStockIsBoundedAndItsHighestPagesGoFirst) {
  arena_.set_stock_max(32 * kPageSize);
  std::vector<uint32_t> runs;
  for (int i = 0; i < 10; ++i) runs.push_back(arena_.allocate(8).value());
  for (const uint32_t run : runs) {
    arena_.release(run, 8);
    EXPECT_LE(arena_.stock(), 32 * kPageSize);
    EXPECT_EQ(allocated(), arena_.used() + arena_.stock());
    EXPECT_EQ(budget_.used(), allocated());
  }
  EXPECT_GE(arena_.stock(), 30 * kPageSize);
  EXPECT_EQ(arena_.allocate(30).value(), runs[0]);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, AFreshRunMakesUseOfTheStockItCovers) {
  arena_.set_stock_max(kMiB);
  const uint32_t run = arena_.allocate(4).value();
  arena_.release(run, 4);
  EXPECT_EQ(arena_.allocate(6).value(), run);
  EXPECT_EQ(arena_.stock(), 0);
  EXPECT_EQ(budget_.used(), 6 * kPageSize);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, ReleaseStockGivesBackWhatIsAskedHighestFirst) {
  arena_.set_stock_max(kGiB);
  std::vector<uint32_t> runs;
  for (int i = 0; i < 100; ++i) runs.push_back(arena_.allocate(10).value());
  for (size_t i = 0; i < runs.size(); i += 2) arena_.release(runs[i], 10);
  EXPECT_EQ(arena_.stock(), 500 * kPageSize);
  EXPECT_EQ(arena_.release_stock(25 * kPageSize - 1), 25 * kPageSize);
  EXPECT_EQ(allocated(), 975 * kPageSize);
  EXPECT_EQ(arena_.allocate(10).value(), runs[0]) << "the low part of the stock stays";
  EXPECT_EQ(arena_.release_stock(std::numeric_limits<Bytes>::max()), 465 * kPageSize);
  EXPECT_EQ(arena_.release_stock(kGiB), 0);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, AtTheCapTheStockIsUsedUpBeforeItFails) {
  arena_.set_stock_max(kGiB);
  std::vector<uint32_t> small;
  while (const auto run = arena_.allocate(1)) small.push_back(*run);
  EXPECT_EQ(small.size(), 8 * kMiB / kPageSize);
  // Every other page: no run of two in the stock, and no room under the cap for another.
  for (size_t i = 0; i < small.size(); i += 2) arena_.release(small[i], 1);
  const auto large = arena_.allocate(32);
  EXPECT_TRUE(large);
  EXPECT_LE(budget_.used(), budget_.limit());
  EXPECT_THAT(audit(), IsEmpty());
  while (arena_.allocate(32)) {
  }
  EXPECT_EQ(arena_.allocate(32).error(), std::errc::no_space_on_device);
  EXPECT_EQ(arena_.stock(), 0);
  EXPECT_THAT(audit(), IsEmpty());
}

TEST_F(ArenaTest, AFullArenaIsNoSpace) {
  MemoryBudget plenty(kGiB, 0);
  const Region region = image_.data();
  Arena small(Region(region.base(), kMiB, image_.files().data.get(), 0), plenty);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(small.allocate(32));
  EXPECT_EQ(small.allocate(1).error(), std::errc::no_space_on_device);
}

TEST_F(ArenaTest, AdoptRefusesWhatCannotBe) {
  EXPECT_TRUE(arena_.adopt(100, 10));
  EXPECT_FALSE(arena_.adopt(109, 1)) << "taken";
  EXPECT_FALSE(arena_.adopt(250, 10)) << "crosses a chunk";
  EXPECT_FALSE(arena_.adopt(arena_.pages(), 1)) << "outside";
  EXPECT_FALSE(arena_.adopt(~0U, 1)) << "outside";
  EXPECT_TRUE(arena_.adopt(110, 32));
}

TEST_F(ArenaTest, AttachKeepsWhatIsAdoptedAndPunchesTheRest) {
  std::vector<uint32_t> runs;
  for (int i = 0; i < 60; ++i) runs.push_back(arena_.allocate(7).value());
  MemoryBudget budget(kGiB, 0);
  Arena successor(image_.data(), budget);
  for (size_t i = 0; i < runs.size(); i += 3) ASSERT_TRUE(successor.adopt(runs[i], 7));
  successor.finish_attach();
  EXPECT_EQ(successor.used(), 140 * kPageSize);
  EXPECT_EQ(budget.used(), 140 * kPageSize);
  EXPECT_EQ(allocated(), 140 * kPageSize);
  std::vector<std::string> breaches;
  successor.audit(breaches);
  EXPECT_THAT(breaches, IsEmpty());
}

TEST_F(ArenaTest, AttachRefusesAnObjectOnPagesThatAreGone) {
  ASSERT_TRUE(arena_.adopt(3, 2));
  EXPECT_THROW(arena_.finish_attach(), std::runtime_error);
}

TEST_F(ArenaTest, AuditSeesAPageThatIsResidentButUnknown) {
  ASSERT_TRUE(arena_.allocate(1));
  arena_.bytes(300, 1)[0] = std::byte{1};
  EXPECT_FALSE(audit().empty());
}

using ArenaDeathTest = ArenaTest;

TEST_F(ArenaDeathTest, ReleasingTwiceAborts) {
  const uint32_t run = arena_.allocate(2).value();
  arena_.release(run, 2);
  EXPECT_DEATH(arena_.release(run, 2), "pages were released twice");
}

}  // namespace
}  // namespace ztmpfs
