#include "tests/store/block_store_rig.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <thread>

namespace ztmpfs {
namespace {

TEST_P(BlockStoreTest, AgreesWithAVectorOfBytes) {
  std::mt19937_64 random(GetParam());
  uint64_t pages_compacted = 0;
  for (int step = 0; step < 3000; ++step) {
    const auto owner = BlockStore::OwnerId(1 + random() % 40);
    switch (random() % 12) {
      case 0:
      case 1:
      case 2: write(owner, random() % (5 * GetParam()), make_contents(random, random() % (2 * GetParam()))); break;
      case 3: {
        const uint64_t size = random() % (model_[owner].size() + 1);
        while (!store_->truncate(owner, size, GetParam())) {
        }
        model_[owner].resize(size);
        break;
      }
      case 4:
        clock_.advance(std::chrono::milliseconds(700));
        store_->seal(random() % 16, random() % 4 == 0, random() % 2 == 0 ? Effort::kFast : Effort::kThorough);
        break;
      case 5: store_->recompress(random() % 16, random() % 2 == 0); break;
      case 6:
        if (random() % 20 == 0) open(64 * kMiB, 4 * kMiB, 0);
        break;
      case 7: {
        const Bytes counted = pool_->compactable();
        const CompactResult result = pool_->compact(random() % 4 * kMiB);
        ASSERT_EQ(pool_->compactable(), counted - result.pages_freed * kPageSize);
        pages_compacted += result.pages_freed;
        break;
      }
      case 8: punch(owner, random() % (5 * GetParam()), random() % (3 * GetParam()), random() % 2 == 0); break;
      case 9: {
        const auto from = BlockStore::OwnerId(1 + random() % 40);
        const uint64_t grain = random() % 3 == 0 ? 1 : GetParam();
        if (from != owner)
          copy(from, random() % 4 * grain, owner, random() % 4 * grain, 1 + random() % (3 * GetParam()));
        break;
      }
      case 10:
        ASSERT_TRUE(store_->reserve(owner, random() % (5 * GetParam()), 1 + random() % GetParam()).has_value());
        break;
      default: expect_contents(owner); expect_seek(owner, random() % (5 * GetParam()));
    }
    if (step % 100 == 0) expect_sound();
  }
  for (const auto& [owner, bytes] : model_) expect_contents(owner);
  expect_sound();
  EXPECT_GT(pages_compacted, 0U);
}

TEST_P(BlockStoreTest, MemoryReturnsWhenBlocksAreFreed) {
  std::mt19937_64 random(2);
  const Bytes before = image_->allocated();
  write(1, 0, make_contents(random, 40 * GetParam()));
  write(2, 7, make_contents(random, 1000));
  store_->seal(1000, true, Effort::kThorough);
  EXPECT_TRUE(store_->truncate(1, 0, kGiB));
  EXPECT_TRUE(store_->truncate(2, 0, kGiB));
  pool_->release_free_spans(kGiB);
  EXPECT_EQ(pool_->stats().objects_used, 0U);
  // A page of each table may stay.
  EXPECT_LE(image_->allocated(), before + 4 * kPageSize);
  expect_sound();
}

TEST_P(BlockStoreTest, SealingChoosesTheFormThatTheContentsDeserve) {
  std::mt19937_64 random(3);
  Contents noise(GetParam());
  std::ranges::generate(noise, [&] { return std::byte(random()); });
  Contents text(GetParam());
  for (size_t i = 0; i < text.size(); ++i) text[i] = std::byte("compressible "[(i * i / 7) % 13]);
  write(1, 0, Contents(GetParam(), std::byte(0x5a)));
  write(2, 0, noise);
  write(3, 0, text);
  EXPECT_EQ(store_->stats().hot_bytes, 3 * GetParam());
  EXPECT_EQ(store_->seal(10, true, Effort::kFast), 3U);
  const auto stats = store_->stats();
  EXPECT_EQ(stats.hot_bytes, 0U);
  EXPECT_EQ(stats.same_pages, 1U);
  EXPECT_EQ(stats.huge_pages, 1U);
  EXPECT_EQ(store_->stored_bytes(1), 8U);
  EXPECT_EQ(store_->stored_bytes(2), GetParam());
  EXPECT_LT(store_->stored_bytes(3), GetParam() / 2);
  for (const BlockStore::OwnerId owner : {1U, 2U, 3U}) expect_contents(owner);
}

TEST_P(BlockStoreTest, BehindTheThoroughEndTheFastCodecIsForGood) {
  thorough_end_ = 2 * GetParam();
  open(64 * kMiB, 4 * kMiB, 0);
  Contents text(4 * GetParam());
  for (size_t i = 0; i < text.size(); ++i) text[i] = std::byte("compressible "[(i * i / 7) % 13]);
  write(1, 0, text);
  store_->seal(10, true, Effort::kFast);
  EXPECT_EQ(store_->recompress_backlog(), 2U);
  store_->recompress(10, true);
  EXPECT_EQ(store_->recompress_backlog(), 0U);
  open(64 * kMiB, 4 * kMiB, 0);
  store_->recompress(10, true);
  EXPECT_EQ(store_->recompress_backlog(), 0U);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockStoreTest, BlocksAreSealedOnlyOnceTheyAreCold) {
  write(1, 0, Contents(GetParam(), std::byte(1)));
  EXPECT_EQ(store_->seal(10, false, Effort::kThorough), 0U);
  clock_.advance(std::chrono::milliseconds(600));
  write(1, 5, Contents(10, std::byte(2)));  // young again
  clock_.advance(std::chrono::milliseconds(600));
  store_->seal(10, false, Effort::kThorough);
  EXPECT_EQ(store_->hot_bytes(), GetParam());
  clock_.advance(std::chrono::milliseconds(2000));
  store_->seal(10, false, Effort::kThorough);
  EXPECT_EQ(store_->hot_bytes(), 0U);
  EXPECT_FALSE(store_->until_work().has_value());
  expect_contents(1);
}

TEST_P(BlockStoreTest, WritersKeepTheHotLimit) {
  open(64 * kMiB, 8 * GetParam(), 0);
  std::mt19937_64 random(4);
  for (uint64_t block = 0; block < 100; ++block) {
    write(1, block * GetParam(), make_contents(random, GetParam() / 2));
    EXPECT_LE(store_->hot_bytes(), 10 * GetParam());
  }
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockStoreTest, AtTheCapWritesFailAndKeepTheOldContents) {
  open(8 * kMiB, kMiB, 0);
  std::mt19937_64 random(5);
  Contents noise(GetParam());
  std::ranges::generate(noise, [&] { return std::byte(random()); });
  uint64_t offset = 0;
  Result<size_t> written = 0;
  for (; offset < 16 * kMiB; offset += noise.size()) {
    written = store_->write(1, offset, noise);
    if (!written || *written < noise.size()) break;
    auto& model = model_[1];
    model.insert(model.end(), noise.begin(), noise.end());
  }
  ASSERT_LT(offset, 8 * kMiB) << "the cap did not hold";
  EXPECT_GT(offset, 4 * kMiB) << "the cap was met far too early";
  EXPECT_LE(budget_->used(), budget_->limit());
  EXPECT_TRUE(written || written.error() == std::errc::no_space_on_device);
  store_->truncate(1, offset, kMiB);
  expect_contents(1);
  // Overwriting may fail too, but then nothing of the block has changed.
  Contents other(GetParam());
  std::ranges::generate(other, [&] { return std::byte(random()); });
  if (store_->write(1, 0, other)) std::ranges::copy(other, model_[1].begin());
  expect_contents(1);
  // Freeing always works, and then writing does again.
  EXPECT_TRUE(store_->truncate(1, 0, kGiB));
  model_[1].clear();
  write(1, 0, noise);
  expect_contents(1);
  expect_sound();
}

TEST_P(BlockStoreTest, TheLogicalLimitIsExact) {
  open(64 * kMiB, 4 * kMiB, 3 * GetParam());
  write(1, 0, Contents(3 * GetParam(), std::byte(0)));
  EXPECT_EQ(store_->write(2, 0, Contents(1)).error(), std::errc::no_space_on_device);
  EXPECT_EQ(store_->write(1, 0, Contents(GetParam())), GetParam());  // overwriting needs no more
  EXPECT_TRUE(store_->truncate(1, GetParam(), kGiB));
  EXPECT_EQ(store_->write(2, 0, Contents(4 * GetParam())), 2 * GetParam());
}

TEST_P(BlockStoreTest, DamagedObjectsAnswerWithAnError) {
  Contents text(GetParam());
  for (size_t i = 0; i < text.size(); ++i) text[i] = std::byte("compressible "[(i * i / 7) % 13]);
  write(1, 0, text);
  store_->seal(10, true, Effort::kThorough);
  ASSERT_LT(store_->stored_bytes(1), GetParam());
  image_->data().for_each_resident([&](Bytes offset, Bytes length) {
    for (Bytes at = offset; at < offset + length; ++at) image_->data().base()[at] ^= std::byte(1);
  });
  Contents read(GetParam());
  EXPECT_EQ(store_->read(1, 0, read).error(), std::errc::io_error);
  EXPECT_EQ(store_->write(1, 5, Contents(3)).error(), std::errc::io_error);
  EXPECT_EQ(store_->stats().checksum_failures, 2U);
}

TEST_P(BlockStoreTest, AttachFreesTheBlocksOfDeadOwners) {
  std::mt19937_64 random(6);
  write(1, 0, make_contents(random, 3 * GetParam()));
  write(2, 0, Contents(3 * GetParam(), std::byte(9)));
  store_->seal(2, true, Effort::kFast);
  dead_owner_ = 1;
  open(64 * kMiB, 4 * kMiB, 0);
  model_[1].clear();
  EXPECT_EQ(store_->stored_bytes(1), 0U);
  expect_contents(1);
  expect_contents(2);
  expect_sound();
}

TEST_P(BlockStoreTest, ReadersWritersSealersAndCompactionRunBesideEachOther) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    while (!stop) {
      pool_->compact(kMiB);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      while (!stop) {
        if (store_->seal(8, true, Effort::kFast) + store_->recompress(8, true) == 0) std::this_thread::yield();
      }
    });
  for (BlockStore::OwnerId owner = 1; owner <= 2; ++owner)
    threads.emplace_back([&, owner] {
      std::mt19937_64 random(owner);
      Contents mine(4 * GetParam());
      Contents read(mine.size());
      for (int step = 0; step < 400; ++step) {
        const auto bytes = make_contents(random, 1 + random() % GetParam());
        const uint64_t offset = random() % (mine.size() - bytes.size());
        EXPECT_EQ(store_->write(owner, offset, bytes), bytes.size());
        std::ranges::copy(bytes, mine.begin() + ptrdiff_t(offset));
        EXPECT_TRUE(store_->read(owner, 0, read).has_value());
        EXPECT_TRUE(mine == read) << "step " << step;
      }
    });
  threads.pop_back();  // joins
  threads.pop_back();
  stop = true;
  threads.clear();
  expect_sound();
}

INSTANTIATE_TEST_SUITE_P(BlockSizes, BlockStoreTest, testing::Values(4 * kKiB, 32 * kKiB, 128 * kKiB));

}  // namespace
}  // namespace ztmpfs
