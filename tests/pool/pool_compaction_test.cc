#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>

#include "tests/pool/build_tree_sizes.h"
#include "tests/pool/kernel_compaction.h"
#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

class PoolCompactionTest : public ::testing::Test {
 protected:
  Handle add(uint32_t size) {
    const uint64_t seed = ++seeds_;
    const Handle handle = rig_.pool.allocate_packed(seeded_bytes(size, seed), 7, seed).value();
    handles_.push_back(handle);
    return handle;
  }
  void drop(size_t index) {
    rig_.pool.free(handles_[index]);
    handles_[index] = handles_.back();
    handles_.pop_back();
  }
  void drop_share(std::mt19937_64& random, uint64_t percent) {
    for (size_t i = handles_.size(); i-- > 0;)
      if (random() % 100 < percent) drop(i);
  }
  void expect_intact() const {
    for (const Handle handle : handles_) {
      const auto bytes = read(rig_.pool, handle);
      ASSERT_EQ(bytes, seeded_bytes(bytes.size(), rig_.pool.tag(handle)));
    }
  }
  Bytes span_bytes() const { return rig_.pool.stats().span_bytes; }

  const Image image_{pool_image()};
  PoolRig rig_{image_, kGiB, kMiB};
  std::vector<Handle> handles_;
  uint64_t seeds_ = 0;
};

// Each state grows out of the one before, so that they do not all look like fresh ones.
TEST_F(PoolCompactionTest, WhatIsCountedIsWhatIsFreed) {
  constexpr int kStates = 1000;
  std::mt19937_64 random(1);
  int with_work = 0;
  for (int state = 0; state < kStates; ++state) {
    const uint32_t size_max = 1 + uint32_t(random() % (random() % 4 == 0 ? 9000 : 3000));
    for (uint64_t count = random() % 120; count > 0; --count) add(1 + uint32_t(random() % size_max));
    drop_share(random, random() % 100);
    const Bytes counted = rig_.pool.compactable();
    const Bytes before = span_bytes();
    const Bytes stock = rig_.pool.stats().free_span_bytes;
    const CompactResult result = rig_.pool.compact();
    with_work += counted > 0 ? 1 : 0;
    ASSERT_EQ(result.pages_freed * kPageSize, counted) << "state " << state;
    ASSERT_EQ(before - span_bytes(), counted) << "state " << state;
    ASSERT_EQ(rig_.pool.stats().free_span_bytes, stock) << "freed spans go to the OS";
    ASSERT_EQ(rig_.pool.compactable(), 0) << "state " << state;
    ASSERT_EQ(result.bytes_moved == 0, counted == 0) << "state " << state;
    ASSERT_FALSE(result.stuck);
    ASSERT_THAT(rig_.audit(), IsEmpty()) << "state " << state;
    if (state % 50 == 0) expect_intact();
  }
  expect_intact();
  EXPECT_GT(with_work, kStates / 3);
}

TEST_F(PoolCompactionTest, ABudgetIsKept) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 4000; ++i) add(1 + uint32_t(random() % 3000));
  drop_share(random, 60);
  const Bytes counted = rig_.pool.compactable();
  ASSERT_GT(counted, kMiB);
  EXPECT_EQ(rig_.pool.compact(0).pages_freed, 0);
  const CompactResult some = rig_.pool.compact(100 * kKiB);
  EXPECT_GE(some.pages_freed * kPageSize, 100 * kKiB);
  EXPECT_LT(some.pages_freed * kPageSize, 100 * kKiB + 8 * kPageSize) << "at most one span more";
  EXPECT_EQ(rig_.pool.compactable(), counted - some.pages_freed * kPageSize);
  EXPECT_EQ(rig_.pool.compact().pages_freed * kPageSize, counted - some.pages_freed * kPageSize);
  EXPECT_EQ(rig_.pool.stats().pages_compacted, counted / kPageSize);
  expect_intact();
}

TEST_F(PoolCompactionTest, PinnedSpansStayAndTheRestIsCompacted) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 3000; ++i) add(1 + uint32_t(random() % 3000));
  drop_share(random, 70);
  std::map<const std::byte*, Pin> pins;
  for (int i = 0; i < 40; ++i) {
    Pin pin = rig_.pool.pin(handles_[random() % handles_.size()]);
    pins.try_emplace(pin.bytes().data(), std::move(pin));
  }
  const Bytes counted = rig_.pool.compactable();
  const CompactResult result = rig_.pool.compact();
  EXPECT_GT(result.pages_freed * kPageSize, counted * 3 / 4);
  for (const auto& [bytes, pin] : pins) EXPECT_EQ(pin.bytes().data(), bytes);
  expect_intact();
  EXPECT_THAT(rig_.audit(), IsEmpty());
  pins.clear();
  rig_.pool.compact();
  EXPECT_EQ(rig_.pool.compactable(), 0);
}

TEST_F(PoolCompactionTest, ASpanThatCouldBeFreedButIsPinnedIsReportedAsStuck) {
  const uint32_t slots = size_classes()[slot_class(1000)].objects_per_span;
  for (uint32_t i = 0; i < 2 * slots; ++i) add(1000);
  // One object is left in each of two spans.
  for (size_t i = handles_.size(); i-- > 0;)
    if (i % slots != 0) drop(i);
  ASSERT_GT(rig_.pool.compactable(), 0);
  const Bytes before = span_bytes();
  {
    const Pin first = rig_.pool.pin(handles_[0]);
    const Pin second = rig_.pool.pin(handles_[1]);
    const CompactResult result = rig_.pool.compact();
    EXPECT_TRUE(result.stuck);
    EXPECT_EQ(result.pages_freed, 0);
    EXPECT_EQ(result.bytes_moved, 0);
    EXPECT_EQ(span_bytes(), before);
  }
  const Pin one_is_enough = rig_.pool.pin(handles_[0]);
  const CompactResult result = rig_.pool.compact();
  EXPECT_FALSE(result.stuck);
  EXPECT_GT(result.pages_freed, 0);
  EXPECT_EQ(result.bytes_moved, 1000);
}

TEST_F(PoolCompactionTest, WhatItMovedIsFoundByTheNextProcess) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) add(1 + uint32_t(random() % 20000));
  drop_share(random, 50);
  rig_.pool.compact();
  PoolRig next(image_, kGiB, kMiB);
  next.pool.attach([](Handle, const HandleRecord& record) { return record.owner == 7; });
  EXPECT_THAT(next.audit(), IsEmpty());
  EXPECT_EQ(next.pool.stats().objects_used, handles_.size());
  EXPECT_EQ(next.pool.stats().span_bytes, span_bytes());
  for (const Handle handle : handles_) {
    const auto bytes = read(next.pool, handle);
    ASSERT_EQ(bytes, seeded_bytes(bytes.size(), next.pool.tag(handle)));
  }
}

// The same trace for the pool and for the kernel's rule: 256 MiB of the objects of a build tree, a random half freed.
TEST(PoolCompaction, MovesNoMoreThanTheKernelsRule) {
  constexpr Bytes kFill = 256 * kMiB;
  const Image image(ImageFiles::create(
      {.capacity = 512 * kMiB, .block_size = 32 * kKiB, .request_slots = 1, .request_buffer_size = kPageSize}));
  PoolRig rig(image);
  std::vector<KernelClass> kernel;
  for (const SizeClass& one : size_classes().first(slot_class_count())) kernel.emplace_back(one);
  const std::vector<std::byte> payload(kObjectSizeMax);
  std::mt19937_64 random(5);
  std::vector<std::pair<Handle, uint32_t>> objects;
  for (Bytes filled = 0; filled < kFill;) {
    const auto at = random() % (kBuildTreeSizes.size() - 1);
    const uint32_t size =
        kBuildTreeSizes[at] + uint32_t(random() % (1 + kBuildTreeSizes[at + 1] - kBuildTreeSizes[at]));
    objects.emplace_back(rig.pool.allocate_packed(std::span(payload).first(size), 0, 0).value(), size);
    if (const uint32_t rest = packed_layout(size).slot_bytes; rest != 0)
      kernel[slot_class(rest)].allocate(objects.back().first, rest);
    filled += size;
  }
  std::shuffle(objects.begin(), objects.end(), random);
  for (size_t half = objects.size() / 2; half > 0; --half) {
    const auto [handle, size] = objects.back();
    objects.pop_back();
    if (const uint32_t rest = packed_layout(size).slot_bytes; rest != 0) kernel[slot_class(rest)].free(handle);
    rig.pool.free(handle);
  }
  const PoolStats before = rig.pool.stats();
  const CompactResult ours = rig.pool.compact();
  const PoolStats after = rig.pool.stats();
  uint64_t kernel_moved = 0;
  uint64_t kernel_freed = 0;
  for (KernelClass& one : kernel) {
    one.compact();
    kernel_moved += one.bytes_moved();
    kernel_freed += one.pages_freed();
  }
  Bytes free_slots = 0;
  for (const SizeClassStats& one : rig.pool.class_stats())
    free_slots += (one.objects_allocated - one.objects_used) * one.object_size;
  const double per_page = double(ours.bytes_moved) / double(ours.pages_freed);
  const double kernel_per_page = double(kernel_moved) / double(kernel_freed);
  std::cout << "bytes moved per page freed: " << per_page << ", by the kernel's rule: " << kernel_per_page
            << "; pages freed: " << ours.pages_freed << ", by the kernel's rule: " << kernel_freed
            << "; payload / pool pages: " << double(before.payload) / double(before.span_bytes) << " before, "
            << double(after.payload) / double(after.span_bytes) << " after; free slots left: " << free_slots / kKiB
            << " KiB\n";
  EXPECT_LE(per_page, kernel_per_page);
  EXPECT_GE(double(after.payload), 0.96 * double(after.span_bytes));
  EXPECT_EQ(after.freeable, 0);
  EXPECT_LT(double(free_slots), 0.005 * double(after.span_bytes)) << "what an end game across classes could gain";
}

}  // namespace
}  // namespace ztmpfs
