#include "tests/store/block_store_rig.h"

namespace ztmpfs {
namespace {

class BlockRangesTest : public BlockStoreTest {
 protected:
  Contents noise(size_t size) {
    Contents bytes(size);
    std::ranges::generate(bytes, [&] { return std::byte(random_()); });
    return bytes;
  }
  // Writes noise to another owner until the cap.
  void fill_up(BlockStore::OwnerId owner) {
    uint64_t offset = model_[owner].size();
    for (const Bytes step : {GetParam(), Bytes(1000)})
      while (true) {
        const Contents bytes = noise(step);
        if (store_->write(owner, offset, bytes) != step) break;
        model_[owner].insert(model_[owner].end(), bytes.begin(), bytes.end());
        offset += step;
      }
  }
  std::mt19937_64 random_{17};
};

TEST_P(BlockRangesTest, WhatIsReservedCanAlwaysBeWritten) {
  open(16 * kMiB, 2 * kMiB, 0);
  const uint64_t size = 4 * kMiB + 5000;
  ASSERT_TRUE(store_->reserve(1, 0, size).has_value());
  expect_sound();
  fill_up(2);
  for (const bool sealed : {false, true, true}) {
    if (sealed) store_->seal(10000, true, Effort::kThorough);
    for (uint64_t offset = 0; offset < size; offset += 10000)
      write(1, offset, noise(std::min<uint64_t>(10000, size - offset)));
    expect_sound();
  }
  for (const auto& [owner, bytes] : model_) expect_contents(owner);
  EXPECT_LE(budget_->used(), budget_->limit());
}

TEST_P(BlockRangesTest, ContentsStoredBeforeCanBeReplacedOnceTheyAreReserved) {
  open(16 * kMiB, 2 * kMiB, 0);
  const uint64_t size = 4 * kMiB;
  write(1, 0, Contents(size, std::byte(7)));
  store_->seal(10000, true, Effort::kThorough);
  ASSERT_TRUE(store_->reserve(1, 0, size).has_value());
  fill_up(2);
  write(1, 0, noise(size));
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, AReservationTakesNoMemoryButKeepsItForItself) {
  const Bytes before = image_->allocated();
  const Bytes available = budget_->available();
  ASSERT_TRUE(store_->reserve(1, 0, 32 * kMiB).has_value());
  EXPECT_LT(image_->allocated() - before, kMiB / 4 + 32 * kMiB / GetParam() * 2 * sizeof(BlockSlot));
  EXPECT_LE(budget_->available(), available - 32 * kMiB);
  EXPECT_EQ(store_->stored_bytes(1), 32 * kMiB);
  EXPECT_EQ(store_->end(1), 0U);
  EXPECT_TRUE(store_->has_blocks_behind(1, 0));
  while (!store_->truncate(1, 0, kMiB)) {
  }
  EXPECT_EQ(budget_->promised(), 0U);
  expect_sound();
}

TEST_P(BlockRangesTest, MoreThanIsFreeIsRefusedAndNothingIsChanged) {
  write(1, 3 * GetParam(), noise(GetParam()));
  ASSERT_TRUE(store_->reserve(1, 0, GetParam()).has_value());
  const Bytes promised = budget_->promised();
  const Bytes allocated = image_->allocated();
  for (const uint64_t length : {Bytes(budget_->available()), 64 * kMiB, kGiB, Bytes(INT64_MAX)})
    EXPECT_EQ(store_->reserve(1, 0, length).error(), std::errc::no_space_on_device) << length;
  EXPECT_EQ(budget_->promised(), promised);
  EXPECT_EQ(image_->allocated(), allocated);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, ReservationsCountForTheLogicalLimit) {
  open(64 * kMiB, 4 * kMiB, 8 * kMiB);
  ASSERT_TRUE(store_->reserve(1, 0, 6 * kMiB).has_value());
  EXPECT_EQ(store_->stats().orig_data_size, 6 * kMiB);
  EXPECT_FALSE(store_->reserve(2, 0, 2 * kMiB + 1).has_value());
  EXPECT_TRUE(store_->reserve(1, kMiB, 7 * kMiB).has_value());
  EXPECT_EQ(store_->stats().orig_data_size, 8 * kMiB);
  write(1, 0, noise(8 * kMiB));
  EXPECT_FALSE(store_->write(2, 0, noise(1)).has_value());
  EXPECT_EQ(store_->stats().orig_data_size, 8 * kMiB);
}

TEST_P(BlockRangesTest, ReservationsOutliveTheServer) {
  write(1, 0, noise(3 * GetParam() / 2));
  ASSERT_TRUE(store_->reserve(1, GetParam(), 3 * GetParam()).has_value());
  store_->seal(100, true, Effort::kThorough);
  const Bytes promised = budget_->promised();
  const Bytes logical = store_->stats().orig_data_size;
  ASSERT_GT(promised, 0U);
  open(64 * kMiB, 4 * kMiB, 0);
  EXPECT_EQ(budget_->promised(), promised);
  EXPECT_EQ(store_->stats().orig_data_size, logical);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, PunchingGivesMemoryAndPromisesBack) {
  write(1, 0, noise(8 * GetParam()));
  store_->seal(100, true, Effort::kThorough);
  ASSERT_TRUE(store_->reserve(1, 0, 8 * GetParam()).has_value());
  punch(1, GetParam(), 6 * GetParam(), false);
  EXPECT_EQ(budget_->promised(), 2 * GetParam());
  EXPECT_EQ(store_->stats().orig_data_size, 2 * GetParam());
  punch(1, 0, GetParam(), true);
  EXPECT_EQ(budget_->promised(), 2 * GetParam());
  EXPECT_EQ(store_->stats().compr_data_size, GetParam());
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, APunchWithinASealedBlockCompressesItOnce) {
  write(1, 0, noise(2 * GetParam()));
  store_->seal(100, true, Effort::kThorough);
  punch(1, 100, 100, false);
  EXPECT_EQ(fast_codec_.compressions(), 1U);
  punch(1, GetParam() - 100, 200, false);
  EXPECT_EQ(fast_codec_.compressions(), 2U) << "of the first block only its end is cut";
  expect_contents(1);
}

TEST_P(BlockRangesTest, PunchingNeedsNoRoom) {
  open(8 * kMiB, kMiB, 0);
  fill_up(1);
  store_->seal(10000, true, Effort::kThorough);
  fill_up(1);
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; ++i) punch(1, random() % model_[1].size(), 1 + random() % 5000, false);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, PunchingStaysBelowTheCapWithWhatOnlyTheThoroughCodecMakesSmall) {
  open(6 * kMiB, kMiB, 0);
  // Digits take 42 % with zstd, but all of their bytes with lz4.
  Contents digits(GetParam());
  uint64_t state = 1;
  for (uint64_t offset = 0; store_->stats().compr_data_size < 3 * kMiB; offset += GetParam()) {
    for (std::byte& digit : digits) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      digit = std::byte('0' + (state >> 33) % 10);
    }
    write(1, offset, digits);
    store_->seal(1000, true, Effort::kThorough);
  }
  for (uint64_t offset = 100; offset < model_[1].size(); offset += GetParam()) punch(1, offset, 1, false);
  EXPECT_LE(budget_->used(), budget_->limit());
  EXPECT_LE(store_->stats().compr_data_size, 3 * kMiB + 512 * kKiB);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockRangesTest, AlignedSealedBlocksAreCopiedAsTheyAreStored) {
  Contents text(8 * GetParam());
  for (size_t i = 0; i < text.size(); ++i) text[i] = std::byte("copied as stored "[i % 17] + char(i / 4096 % 8));
  write(1, 0, text);
  store_->seal(1000, true, Effort::kThorough);
  copy(1, GetParam(), 2, 3 * GetParam(), 7 * GetParam());
  EXPECT_EQ(store_->hot_bytes(), 0U) << "a copied block was opened";
  expect_contents(2);
  copy(1, 0, 3, 100, 2 * GetParam());
  EXPECT_GT(store_->hot_bytes(), 0U);
  expect_contents(3);
  expect_sound();
}

TEST_P(BlockRangesTest, HolesAreCopiedAsHoles) {
  write(1, 0, noise(100));
  write(1, 20 * GetParam(), noise(100));
  write(2, 0, noise(10 * GetParam()));
  copy(1, 0, 2, 0, 20 * GetParam() + 100);
  EXPECT_EQ(store_->next_hole(2, 0), GetParam());
  EXPECT_EQ(store_->next_data(2, GetParam()), 20 * GetParam());
  expect_contents(2);
}

TEST_P(BlockRangesTest, CopiesAtTheCapAreCutAndKeepTheOldContents) {
  open(8 * kMiB, kMiB, 0);
  write(1, 0, noise(2 * kMiB));
  write(2, 0, noise(kMiB));
  fill_up(3);
  const Contents old = model_[2];
  const auto copied = store_->copy(1, 0, 2, 0, 2 * kMiB);
  const size_t count = copied.value_or(0);
  ASSERT_LT(count, 2 * kMiB);
  std::copy_n(model_[1].begin(), count, model_[2].begin());
  if (count > old.size()) model_[2].resize(count);
  expect_contents(2);
  expect_sound();
}

INSTANTIATE_TEST_SUITE_P(BlockSizes, BlockRangesTest, testing::Values(4 * kKiB, 32 * kKiB, 128 * kKiB));

}  // namespace
}  // namespace ztmpfs
