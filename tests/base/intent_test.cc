#include "base/intent.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <random>

#include "tests/base/small_image.h"

namespace ztmpfs {
namespace {

// What lies at the front of the inode region for these tests.
struct Fields {
  std::array<uint64_t, 16> wide;
  std::array<uint32_t, 16> narrow;
};

class IntentTest : public testing::Test {
 protected:
  Fields& fields() { return *reinterpret_cast<Fields*>(image_.region(RegionId::kInodes).base()); }
  IntentRecord& intent() { return *reinterpret_cast<IntentRecord*>(image_.region(RegionId::kRequests).base()); }
  std::byte* base() { return image_.meta().base(); }

  Image image_{small_image()};
};

TEST_F(IntentTest, StoresNothingBeforeCommit) {
  Transaction transaction(intent(), base());
  transaction.set(fields().wide[0], 7);
  EXPECT_EQ(fields().wide[0], 0u);
  EXPECT_EQ(intent().state, IntentRecord::kIdle);
}

TEST_F(IntentTest, StoresEverythingAtCommit) {
  Transaction transaction(intent(), base());
  transaction.set(fields().wide[0], ~0ULL);
  transaction.set(fields().narrow[1], 0x12345678);
  transaction.commit();
  EXPECT_EQ(fields().wide[0], ~0ULL);
  EXPECT_EQ(fields().narrow[1], 0x12345678u);
  EXPECT_EQ(fields().narrow[0], 0u);
  EXPECT_EQ(fields().narrow[2], 0u);
  EXPECT_EQ(intent().state, IntentRecord::kApplied);
}

TEST_F(IntentTest, TheLastOfTwoStoresToOneFieldWins) {
  Transaction transaction(intent(), base());
  transaction.set(fields().wide[0], 1);
  transaction.set(fields().wide[0], 2);
  transaction.commit();
  EXPECT_EQ(fields().wide[0], 2u);
}

TEST_F(IntentTest, ApplyingAgainChangesNothing) {
  Transaction transaction(intent(), base());
  for (size_t i = 0; i < 16; ++i) transaction.set(fields().wide[i], i * 3);
  transaction.commit();
  const auto once = fields().wide;
  intent().apply(base());
  EXPECT_EQ(fields().wide, once);
}

TEST_F(IntentTest, FinishesWhatAnotherMappingCommitted) {
  fields().wide = {1, 2, 3};
  intent().count = 2;
  intent().stores[0] = {uint64_t(reinterpret_cast<std::byte*>(&fields().wide[0]) - base()) + 1, 10};
  intent().stores[1] = {uint64_t(reinterpret_cast<std::byte*>(&fields().wide[2]) - base()) + 1, 30};
  intent().state = IntentRecord::kCommitted;
  const Image successor(ImageFiles{UniqueFd(::dup(image_.files().meta.get())),
                                   UniqueFd(::dup(image_.files().data.get())),
                                   UniqueFd(::dup(image_.files().buffers.get()))});
  reinterpret_cast<IntentRecord*>(successor.region(RegionId::kRequests).base())->apply(successor.meta().base());
  EXPECT_EQ(fields().wide[0], 10u);
  EXPECT_EQ(fields().wide[1], 2u);
  EXPECT_EQ(fields().wide[2], 30u);
}

TEST_F(IntentTest, MayBeUsedAgainOnceApplied) {
  for (uint64_t round = 1; round <= 3; ++round) {
    Transaction transaction(intent(), base());
    transaction.set(fields().wide[round], round);
    transaction.commit();
    EXPECT_EQ(intent().count, 1u);
  }
  EXPECT_EQ(fields().wide[1] + fields().wide[2] + fields().wide[3], 6u);
}

using IntentDeathTest = IntentTest;

TEST_F(IntentDeathTest, RefusesAnIntentThatIsCommittedAndNotApplied) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  intent().state = IntentRecord::kCommitted;
  EXPECT_DEATH(Transaction(intent(), base()), "an intent is open");
}

TEST_F(IntentDeathTest, RefusesMoreStoresThanItHolds) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Transaction transaction(intent(), base());
  for (size_t i = 0; i < IntentRecord::kStoresMax; ++i) transaction.set(fields().wide[i % 16], i);
  EXPECT_DEATH(transaction.set(fields().wide[0], 0), "too many stores");
}

// Stores the same number into all fields, again and again, until it is killed.
[[noreturn]] void store_for_ever(IntentRecord& intent, std::byte* base, Fields& fields, uint32_t number) {
  for (;; ++number) {
    Transaction transaction(intent, base);
    for (auto& field : fields.wide) transaction.set(field, number);
    for (auto& field : fields.narrow) transaction.set(field, number);
    transaction.commit();
    intent.state.store(IntentRecord::kIdle, std::memory_order_release);
  }
}

TEST_F(IntentTest, LeavesAllOrNothingWhereverItIsKilled) {
  std::mt19937 random(1);
  for (int round = 0; round < 100; ++round) {
    const uint32_t before = fields().narrow[0];
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) store_for_ever(intent(), base(), fields(), before + 1);
    while (std::atomic_ref(fields().narrow[0]).load() == before) ::usleep(10);
    ::usleep(useconds_t(random() % 500));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);

    if (intent().state == IntentRecord::kCommitted) intent().apply(base());
    intent().state = IntentRecord::kIdle;
    for (const auto field : fields().wide) ASSERT_EQ(field, fields().wide[0]) << "round " << round;
    for (const auto field : fields().narrow) ASSERT_EQ(field, fields().wide[0]) << "round " << round;
  }
}

}  // namespace
}  // namespace ztmpfs
