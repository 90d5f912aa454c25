#include "pool/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdio>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

class PoolTest : public ::testing::Test {
 protected:
  Handle add(uint32_t size) { return pool_.allocate(size, 1, 2).value(); }
  Handle add_packed(uint32_t size) { return pool_.allocate_packed(seeded_bytes(size, size), 1, 2).value(); }
  SizeClassStats class_stats(uint32_t object_size) const {
    for (const SizeClassStats& each : pool_.class_stats())
      if (each.object_size == object_size) return each;
    return {};
  }

  Image image_{pool_image()};
  PoolRig rig_{image_};
  Pool& pool_ = rig_.pool;
};

TEST_F(PoolTest, AnEmptyPoolTakesNoMemory) {
  EXPECT_EQ(pool_.stats().resident(), 0);
  EXPECT_EQ(rig_.budget.used(), 0);
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

TEST_F(PoolTest, AnObjectKeepsWhatIsWrittenToIt) {
  std::vector<Handle> handles;
  const std::vector<uint32_t> sizes{1, 16, 17, 100, 2048, 3584, 3585, 4096, 4097, 20000, 32768, 131072};
  for (const uint32_t size : sizes) {
    handles.push_back(pool_.allocate(size, 7, size).value());
    write(pool_, handles.back(), seeded_bytes(size, size));
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(pool_.size(handles[i]), sizes[i]);
    EXPECT_EQ(pool_.tag(handles[i]), sizes[i]);
    EXPECT_EQ(read(pool_, handles[i]), seeded_bytes(sizes[i], sizes[i]));
  }
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

TEST_F(PoolTest, PackedObjectsReadBackAsOnePiece) {
  std::vector<std::pair<uint32_t, Handle>> objects;
  for (uint32_t size = 1; size <= kObjectSizeMax; size += size < 9000 ? 97 : 1999) {
    objects.emplace_back(size, add_packed(size));
    EXPECT_EQ(pool_.pin(objects.back().second).bytes().size(), size);
  }
  for (const auto& [size, handle] : objects) EXPECT_EQ(read(pool_, handle), seeded_bytes(size, size)) << size;
  EXPECT_THAT(rig_.audit(), IsEmpty());
  for (const auto& [size, handle] : objects) pool_.free(handle);
  EXPECT_EQ(pool_.stats().resident(), 0);
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

TEST_F(PoolTest, SetTagChangesTheTagAlone) {
  const Handle handle = add_packed(5000);
  pool_.set_tag(handle, 99);
  EXPECT_EQ(pool_.tag(handle), 99);
  EXPECT_EQ(pool_.size(handle), 5000);
  EXPECT_EQ(read(pool_, handle), seeded_bytes(5000, 5000));
}

TEST_F(PoolTest, ClassSizeIsTheMemoryOfAPackedObject) {
  for (const uint32_t size : {64U, 1000U, 4096U, 10000U, 32768U, 100000U}) {
    const Bytes payload = pool_.stats().span_bytes;
    EXPECT_GE(pool_.class_size(size), size);
    EXPECT_EQ(pool_.class_size(size), layout_size(packed_layout(size)));
    const Handle handle = add_packed(size);
    EXPECT_GE(pool_.stats().span_bytes - payload, pool_.class_size(size));
    pool_.free(handle);
  }
}

TEST_F(PoolTest, FreedSpansReturnToTheOs) {
  std::mt19937 random(3);
  const Bytes before = image_.allocated();
  std::vector<Handle> handles;
  for (int i = 0; i < 2000; ++i) handles.push_back(add_packed(block_like_size(random)));
  EXPECT_GT(image_.allocated(), before + 20 * kMiB);
  for (const Handle handle : handles) pool_.free(handle);
  // What stays are a few empty pages of the handle table.
  EXPECT_LE(image_.allocated(), before + 16 * kPageSize);
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

TEST_F(PoolTest, AHotBlockIsRecycledFromTheStock) {
  PoolRig rig(image_, kGiB, kMiB);
  const Handle first = rig.pool.allocate(32768, 0, 0).value();
  const std::byte* place = rig.pool.pin(first).bytes().data();
  rig.pool.free(first);
  EXPECT_EQ(rig.pool.stats().free_span_bytes, 32768);
  const Handle second = rig.pool.allocate(32768, 0, 0).value();
  EXPECT_EQ(rig.pool.pin(second).bytes().data(), place);
  EXPECT_EQ(rig.pool.stats().free_span_bytes, 0);
  rig.pool.free(second);
  EXPECT_EQ(rig.pool.release_free_spans(kGiB), 32768);
  EXPECT_EQ(rig.pool.stats().resident(), 0);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST_F(PoolTest, FreeableIsTheKernelsFormula) {
  const SizeClassStats shape = class_stats(1024);
  ASSERT_EQ(shape.objects_per_span, 4);
  std::vector<Handle> handles;
  for (int i = 0; i < 41; ++i) handles.push_back(add(1024));
  EXPECT_EQ(class_stats(1024).objects_allocated, 44);
  EXPECT_EQ(class_stats(1024).pages_freeable, 0);
  for (size_t i = 0; i < handles.size(); i += 2) pool_.free(handles[i]);
  const SizeClassStats stats = class_stats(1024);
  EXPECT_EQ(stats.objects_used, 20);
  EXPECT_EQ(stats.pages_used, stats.objects_allocated / 4);
  EXPECT_EQ(stats.pages_freeable, (stats.objects_allocated - 20) / 4);
  EXPECT_EQ(pool_.stats().freeable, stats.pages_freeable * kPageSize);
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

TEST_F(PoolTest, TheFullestSpanIsFilledFirst) {
  std::vector<Handle> handles;
  for (int i = 0; i < 12; ++i) handles.push_back(add(1024));
  for (const size_t i : {0U, 1U, 2U, 4U, 8U, 9U}) pool_.free(handles[i]);
  // One span is full to 1/4, one to 3/4, one to 2/4: the next three objects go where they fill one up.
  const Bytes before = pool_.stats().span_bytes;
  const std::byte* in_fullest = pool_.pin(handles[5]).bytes().data() - 1024;
  EXPECT_EQ(pool_.pin(add(1024)).bytes().data(), in_fullest);
  add(1024);
  add(1024);
  EXPECT_EQ(pool_.stats().span_bytes, before);
  pool_.free(handles[3]);
  EXPECT_EQ(pool_.stats().span_bytes, before - kPageSize);
}

TEST_F(PoolTest, AtTheCapAllocationFailsAndFreeingMakesRoom) {
  PoolRig rig(image_, 2 * kMiB);
  std::vector<Handle> handles;
  while (const auto handle = rig.pool.allocate_packed(seeded_bytes(10000, 1), 0, 0)) handles.push_back(*handle);
  EXPECT_GT(handles.size(), 190);
  while (const auto handle = rig.pool.allocate(10000, 0, 0)) handles.push_back(*handle);
  EXPECT_EQ(rig.pool.allocate(10000, 0, 0).error(), std::errc::no_space_on_device);
  EXPECT_LE(rig.budget.used(), rig.budget.limit());
  EXPECT_THAT(rig.audit(), IsEmpty());
  for (int i = 0; i < 8; ++i) {
    rig.pool.free(handles.back());
    handles.pop_back();
  }
  EXPECT_TRUE(rig.pool.allocate_packed(seeded_bytes(10000, 2), 0, 0));
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST_F(PoolTest, WhenOnePieceFindsNoSpaceTheOtherIsGivenBack) {
  // Room for the table's page and a run of two pages, but not for the span of the slot.
  PoolRig rig(image_, 3 * kPageSize);
  ASSERT_EQ(packed_layout(9700).run_pages, 2);
  ASSERT_GT(packed_layout(9700).slot_bytes, 0);
  EXPECT_EQ(rig.pool.allocate_packed(seeded_bytes(9700, 1), 0, 0).error(), std::errc::no_space_on_device);
  EXPECT_EQ(rig.pool.stats().resident(), 0);
  EXPECT_EQ(rig.pool.stats().objects_used, 0);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST_F(PoolTest, AFreshMixOfBlocksIsDense) {
  PoolRig rig(image_);
  std::mt19937 random(4);
  std::vector<Handle> handles;
  for (int i = 0; i < 4000; ++i)
    handles.push_back(rig.pool.allocate_packed(seeded_bytes(block_like_size(random), 1), 0, 0).value());
  const auto density = [&] { return double(rig.pool.stats().payload) / double(rig.pool.stats().span_bytes); };
  std::printf("payload / pool pages of %.0f MB: %.4f\n", double(rig.pool.stats().payload) / 1e6, density());
  EXPECT_GE(density(), 0.98);
  for (int round = 0; round < 400; ++round) {
    const size_t victim = random() % handles.size();
    rig.pool.free(handles[victim]);
    handles[victim] = rig.pool.allocate_packed(seeded_bytes(block_like_size(random), 1), 0, 0).value();
  }
  std::printf("after a tenth was replaced: %.4f\n", density());
  EXPECT_GE(density(), 0.975);
}

TEST_F(PoolTest, ASmallObjectCostsLittleMoreThanItsBytes) {
  constexpr uint32_t kObjects = 200'000;
  constexpr uint32_t kSize = 100;
  const auto heap_before = mallinfo2().uordblks;
  for (uint32_t i = 0; i < kObjects; ++i) add(kSize);
  const PoolStats stats = pool_.stats();
  EXPECT_LE(double(stats.span_bytes) / kObjects, 114);
  EXPECT_LE(double(stats.handle_bytes) / kObjects, 25);
  const auto heap = double(mallinfo2().uordblks - heap_before) / kObjects;
  std::printf("bytes per object of 100: pages %.1f, table %.1f, process memory %.1f\n",
              double(stats.span_bytes) / kObjects, double(stats.handle_bytes) / kObjects, heap);
  EXPECT_LE(heap, 10);  // sanitizers report 0
}

TEST_F(PoolTest, AMovedPinUnpinsOnce) {
  const Handle handle = add(100);
  {
    Pin first = pool_.pin(handle);
    Pin second = std::move(first);
    Pin third;
    third = std::move(second);
    EXPECT_TRUE(second.bytes().empty());
    EXPECT_EQ(third.bytes().size(), 100);
  }
  pool_.free(handle);  // aborts if a pin were left, or counted below zero
  EXPECT_THAT(rig_.audit(), IsEmpty());
}

using PoolDeathTest = PoolTest;

TEST_F(PoolDeathTest, FreeingTwiceAborts) {
  const Handle handle = add(100);
  add(100);
  pool_.free(handle);
  EXPECT_DEATH(pool_.free(handle), "freed twice");
}

TEST_F(PoolDeathTest, FreeingTheLastObjectOfAPinnedSpanAborts) {
  const Handle handle = add(100);
  const Pin pin = pool_.pin(handle);
  EXPECT_DEATH(pool_.free(handle), "freed while it was pinned");
}

TEST_F(PoolDeathTest, ImpossibleSizesAbort) {
  EXPECT_DEATH((void)pool_.allocate(0, 0, 0), "no object has this size");
  EXPECT_DEATH((void)pool_.allocate(kObjectSizeMax + 1, 0, 0), "no object has this size");
}

}  // namespace
}  // namespace ztmpfs
