#include "fs/volume.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "base/memory_usage.h"
#include "fs/shrinkers.h"
#include "tests/fs/fs_rig.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ZTMPFS_SANITIZED 1
#endif
#endif

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

// Bytes that do not compress.
std::string noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = char(random());
  return bytes;
}

TEST(Volume, SettlingCompressesAndTellsWhichInodesChanged) {
  FsRig rig;
  std::vector<uint64_t> settled;
  rig.volume().set_on_settled([&](uint64_t ino) { settled.push_back(ino); });
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  std::string text;
  while (text.size() < 100'000) text += "line " + std::to_string(text.size()) + "\n";
  rig.write(ino, 0, text);
  const uint64_t hot_blocks = rig.fs().getattr(ino)->blocks;
  rig.volume().settle();
  EXPECT_EQ(settled, std::vector<uint64_t>{ino});
  EXPECT_LT(rig.fs().getattr(ino)->blocks * 2, hot_blocks);
  const VolumeStats stats = rig.volume().stats();
  EXPECT_EQ(stats.store.hot_bytes, 0U);
  EXPECT_EQ(stats.store.orig_data_size, text.size());
  EXPECT_LT(stats.store.compr_data_size * 2, text.size());
  EXPECT_EQ(rig.read(ino), text);
}

TEST(Volume, ACutFileThatIsFreedInTheBackgroundIsToldOf) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  for (uint64_t offset = 0; offset < 4 * kMiB; offset += kMiB) rig.write(ino, offset, std::string(kMiB, 'x'));
  rig.volume().settle();
  std::vector<uint64_t> settled;
  rig.volume().set_on_settled([&](uint64_t changed) { settled.push_back(changed); });
  ASSERT_GT(rig.truncate(ino, 0)->blocks, 0U) << "not all of it is freed at once";
  rig.attach();
  rig.volume().set_on_settled([&](uint64_t changed) { settled.push_back(changed); });
  rig.volume().settle();
  EXPECT_EQ(settled, std::vector<uint64_t>{ino});
  EXPECT_EQ(rig.fs().getattr(ino)->blocks, 0U);
}

TEST(Volume, SmallFilesCostAFewHundredBytes) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || ZTMPFS_SANITIZED
  GTEST_SKIP() << "sanitizers change what the heap costs";
#endif
  FsRig rig(200 * kMiB);
  const auto used = [&] { return rig.volume().image().allocated() + anonymous_memory(::getpid()); };
  const Bytes before = used();
  std::mt19937_64 random(1);
  constexpr int kFiles = 40'000;
  for (int i = 0; i < kFiles; ++i) {
    std::string noise(100, '\0');
    for (char& c : noise) c = char(random());
    const uint64_t ino = rig.create(kRoot, "file" + std::to_string(i))->ino;
    rig.write(ino, 0, noise);
    rig.forget(ino);
  }
  rig.volume().settle();
  rig.volume().pool().release_free_spans(kGiB);
  const Bytes cost = (used() - before) / kFiles;
  RecordProperty("bytes_per_file", int(cost));
  EXPECT_LE(cost, 800U);
}

TEST(Volume, RemovingEverythingReturnsTheMemory) {
  FsRig rig;
  const Bytes before = rig.volume().image().allocated();
  std::vector<uint64_t> inodes;
  for (int i = 0; i < 3000; ++i) {
    inodes.push_back(rig.create(kRoot, std::to_string(i))->ino);
    rig.write(inodes.back(), 0, std::string(6000, char(i)) + std::to_string(i));
  }
  for (int i = 0; i < 3000; ++i) rig.unlink(kRoot, std::to_string(i));
  for (const uint64_t ino : inodes) rig.forget(ino);
  rig.volume().settle();
  rig.volume().pool().release_free_spans(kGiB);
  EXPECT_LT(rig.volume().image().allocated(), before + 200 * kKiB);
  EXPECT_EQ(rig.volume().pool().stats().objects_used, 0U);
}

TEST(Volume, BackgroundThreadsSealWhatTurnsColdAndFreeWhatIsLarge) {
  FsRig rig;
  rig.volume().start();
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  for (uint64_t offset = 0; offset < 8 * kMiB; offset += 100'000) rig.write(ino, offset, std::string(100'000, 'z'));
  rig.unlink(kRoot, "file");
  rig.forget(ino);
  const uint64_t other = rig.create(kRoot, "other")->ino;
  rig.write(other, 0, std::string(50'000, 'o'));
  rig.clock().advance(std::chrono::seconds(5));
  for (int i = 0; i < 1000 && (rig.fs().files() > 2 || rig.volume().store().hot_bytes() > 0); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(rig.fs().files(), 2U);
  EXPECT_EQ(rig.volume().store().hot_bytes(), 0U);
  EXPECT_EQ(rig.read(other), std::string(50'000, 'o'));
}

TEST(Volume, LowerCapIsReachedByReclaimOrNotAtAll) {
  FsRig rig(64 * kMiB);
  const uint64_t text = rig.create(kRoot, "text")->ino;
  for (uint64_t offset = 0; offset < 24 * kMiB; offset += kMiB) rig.write(text, offset, std::string(kMiB, 'z'));
  const uint64_t random = rig.create(kRoot, "random")->ino;
  rig.write(random, 0, noise(6 * kMiB, 1));
  const Bytes used = rig.volume().budget().used();
  EXPECT_GT(used, 9 * kMiB);
  EXPECT_FALSE(rig.volume().try_set_limits(6 * kMiB, 4 * kMiB));
  EXPECT_EQ(rig.volume().budget().limit(), 64 * kMiB);
  EXPECT_TRUE(rig.volume().try_set_limits(9 * kMiB, 4 * kMiB));
  EXPECT_EQ(rig.volume().budget().limit(), 9 * kMiB);
  EXPECT_LE(rig.volume().budget().used(), 9 * kMiB - rig.volume().budget().reserve());
  EXPECT_EQ(rig.read(random, 0, 6 * kMiB), noise(6 * kMiB, 1));
  rig.expect_sound();
  EXPECT_FALSE(rig.write(random, 6 * kMiB, noise(8 * kMiB, 2)) == 8 * kMiB) << "the new cap holds";
  EXPECT_TRUE(rig.volume().try_set_limits(64 * kMiB, 4 * kMiB));
  EXPECT_EQ(rig.write(random, 6 * kMiB, noise(8 * kMiB, 2)), 8 * kMiB);
  rig.expect_sound();
}

// Incompressible files of a thousand bytes, three of four removed: their memory is in partly filled spans, and no large
// block can use it as it is.
TEST(Volume, AtTheCapPartlyFilledSpansAreCompactedBeforeAWriteFails) {
  constexpr int kSmallFiles = 5000;
  FsRig rig(12 * kMiB);
  std::map<std::string, std::string> kept;
  for (int i = 0; i < kSmallFiles; ++i) {
    const std::string name = "small" + std::to_string(i);
    const std::string contents = noise(1000, uint64_t(i));
    const uint64_t ino = rig.create(kRoot, name)->ino;
    ASSERT_EQ(rig.write(ino, 0, contents), contents.size());
    rig.forget(ino);
    if (i % 4 == 0) kept[name] = contents;
  }
  rig.volume().settle();
  for (int i = 0; i < kSmallFiles; ++i) {
    const std::string name = "small" + std::to_string(i);
    if (kept.contains(name)) continue;
    ASSERT_TRUE(rig.unlink(kRoot, name));
  }
  const Bytes freeable = rig.volume().pool().compactable();
  ASSERT_GT(freeable, 2 * kMiB);
  ASSERT_EQ(rig.volume().stats().pool.pages_compacted, 0U) << "nothing is compacted while there is room";

  const uint64_t large = rig.create(kRoot, "large")->ino;
  std::string written;
  while (true) {
    const std::string piece = noise(32 * kKiB, written.size());
    const auto done = rig.write(large, written.size(), piece);
    if (!done) {
      EXPECT_EQ(done.error(), std::errc::no_space_on_device);
      break;
    }
    written += piece.substr(0, *done);
  }
  const VolumeStats stats = rig.volume().stats();
  EXPECT_GT(stats.pool.pages_compacted * kPageSize, freeable * 9 / 10);
  EXPECT_LT(stats.pool.freeable, 64 * kKiB);
  EXPECT_LT(rig.volume().budget().available(), 2 * kMiB);
  EXPECT_GT(stats.reclaim.freed.at("compaction"), freeable * 9 / 10);
  EXPECT_TRUE(rig.read(large, 0, written.size()) == written);
  for (const auto& [name, contents] : kept) ASSERT_EQ(rig.read(rig.lookup(kRoot, name)->ino, 0, 2000), contents);
  rig.expect_sound();
}

// Each file is overwritten at the cap by what takes more room than it gives back.
TEST(Volume, WhatAWriteSaysAtTheCapIsWhatItDid) {
  constexpr size_t kSize = 128 * kKiB;
  std::mt19937_64 random(3);
  int failures = 0;
  for (int round = 0; round < 4; ++round) {
    FsRig rig(12 * kMiB);
    const std::string old(kSize, 'z');
    std::vector<uint64_t> inodes;
    for (int i = 0; i < 8; ++i) {
      inodes.push_back(rig.create(kRoot, std::to_string(i))->ino);
      ASSERT_EQ(rig.write(inodes.back(), 0, old), kSize);
    }
    rig.volume().settle();
    const uint64_t large = rig.create(kRoot, "large")->ino;
    for (uint64_t end = 0;;) {
      const auto done = rig.write(large, end, noise(1 + random() % kSize, random()));
      if (!done) break;
      end += *done;
    }
    rig.truncate(large, rig.fs().getattr(large)->size - random() % (200 * kKiB));
    for (const uint64_t ino : inodes) {
      const std::string data = noise(kSize, random());
      const auto done = rig.write(ino, 0, data);
      failures += done ? 0 : 1;
      ASSERT_EQ(rig.read(ino), data.substr(0, done.value_or(0)) + old.substr(done.value_or(0))) << "round " << round;
    }
    rig.expect_sound();
  }
  EXPECT_GT(failures, 0);
}

TEST(Volume, AReclaimRunGivesBackTheStockTheOpenBlocksAndThePartlyFilledSpans) {
  FsRig rig;
  std::string text;
  while (text.size() < kMiB) text += "line " + std::to_string(text.size()) + "\n";
  const uint64_t open = rig.create(kRoot, "open")->ino;
  rig.write(open, 0, text);
  const uint64_t gone = rig.create(kRoot, "gone")->ino;
  rig.write(gone, 0, text.substr(0, 256 * kKiB));
  rig.truncate(gone, 0);
  ASSERT_GT(rig.volume().pool().free_span_bytes(), 0U);
  const Bytes before = rig.volume().image().allocated();
  const ReclaimReport report = rig.volume().reclaimer().run({});
  EXPECT_EQ(before - rig.volume().image().allocated(), report.freed);
  EXPECT_GT(report.freed, kMiB / 2);
  EXPECT_EQ(rig.volume().store().hot_bytes(), 0U);
  EXPECT_EQ(rig.volume().pool().free_span_bytes(), 0U);
  EXPECT_EQ(rig.volume().pool().compactable(), 0U);
  EXPECT_TRUE(rig.read(open, 0, text.size()) == text);
  EXPECT_EQ(rig.volume().reclaimer().run({}).freed, 0U);
  rig.expect_sound();
}

TEST(Volume, CompactionByHandWorksWithAndWithoutItsShrinker) {
  FsRig rig;
  const auto fragment = [&](const std::string& prefix) {
    for (int i = 0; i < 300; ++i) {
      const uint64_t ino = rig.create(kRoot, prefix + std::to_string(i))->ino;
      rig.write(ino, 0, noise(1000, uint64_t(i)));
      rig.forget(ino);
    }
    rig.volume().settle();
    for (int i = 0; i < 300; ++i) {
      if (i % 5 != 0) rig.unlink(kRoot, prefix + std::to_string(i));
    }
    EXPECT_GT(rig.volume().pool().compactable(), 0U);
  };
  fragment("one");
  EXPECT_GT(rig.volume().compact().freed, 0U);
  EXPECT_EQ(rig.volume().pool().compactable(), 0U);
  fragment("two");
  Reclaimer empty(rig.clock());
  const ReclaimReport report = compact_by_hand(empty, rig.fs(), rig.volume().pool());
  EXPECT_GT(report.freed, 0U);
  EXPECT_EQ(report.parts.front().shrinker, "compaction");
  EXPECT_EQ(rig.volume().pool().compactable(), 0U);
  rig.expect_sound();
}

TEST(Volume, AForeignImageIsRefused) {
  ImageFiles files = ImageFiles::create(small_geometry());
  const uint64_t nothing = 0;
  ASSERT_EQ(::pwrite(files.meta.get(), &nothing, sizeof nothing, 0), ssize_t(sizeof nothing));
  const SystemClock clock;
  EXPECT_THROW(Volume(std::move(files), {}, clock), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
