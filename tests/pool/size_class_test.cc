#include "pool/size_class.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

namespace ztmpfs {
namespace {

double share(uint64_t part, uint64_t whole) { return double(part) / double(whole); }

// What an object of `size` bytes takes, with its part of what is left over at the end of its span.
double cost(uint32_t size) {
  const Layout layout = packed_layout(size);
  double bytes = layout.run_pages * double(kPageSize);
  if (layout.slot_bytes != 0) {
    const SizeClass& slots = size_classes()[slot_class(layout.slot_bytes)];
    bytes += double(slots.pages_per_span * kPageSize) / slots.objects_per_span;
  }
  return bytes;
}

// The mean share of memory that sizes in [first, last] waste in full spans.
double mean_waste(uint32_t first, uint32_t last) {
  double waste = 0;
  for (uint32_t size = first; size <= last; ++size) waste += 1 - size / cost(size);
  return waste / (last - first + 1);
}

TEST(SizeClass, ClassesAscendAndLieInTheirSpans) {
  uint32_t last = 0;
  for (const SizeClass& each : size_classes()) {
    EXPECT_GT(each.object_size, last);
    EXPECT_EQ(each.object_size % 8, 0);
    EXPECT_LE(Bytes(each.object_size) * each.objects_per_span, each.pages_per_span * kPageSize);
    EXPECT_LE(each.objects_per_span, 256);
    last = each.object_size;
  }
  EXPECT_EQ(last, kObjectSizeMax);
}

TEST(SizeClass, NoTwoClassesHaveTheSameSpans) {
  const auto classes = size_classes();
  for (size_t i = 0; i < classes.size(); ++i)
    for (size_t j = i + 1; j < classes.size(); ++j)
      EXPECT_FALSE(classes[i].pages_per_span == classes[j].pages_per_span &&
                   classes[i].objects_per_span == classes[j].objects_per_span)
          << classes[i].object_size << " and " << classes[j].object_size;
}

TEST(SizeClass, EverySizeFitsItsPieces) {
  for (uint32_t size = 1; size <= kObjectSizeMax; ++size) {
    for (const Layout layout : {packed_layout(size), contiguous_layout(size)}) {
      ASSERT_GE(layout_size(layout), size);
      ASSERT_LE(layout.run_pages, kRunPagesMax);
      ASSERT_LE(layout.slot_bytes, slot_size_max());
    }
    // Of an object in two pieces the run is full and the slot holds the rest.
    const Layout packed = packed_layout(size);
    if (packed.slot_bytes != 0) {
      ASSERT_EQ(packed.run_pages * kPageSize + packed.slot_bytes, size);
    }
    const Layout contiguous = contiguous_layout(size);
    ASSERT_TRUE(contiguous.run_pages == 0 || contiguous.slot_bytes == 0);
  }
}

TEST(SizeClass, TheSmallestClassThatFitsIsChosen) {
  const auto slots = size_classes().first(slot_class_count());
  for (uint32_t size = 1; size <= slot_size_max(); ++size) {
    const auto best = std::ranges::find_if(slots, [&](const SizeClass& each) { return each.object_size >= size; });
    ASSERT_EQ(slot_class(size), uint32_t(best - slots.begin()));
  }
}

TEST(SizeClass, PowersOfTwoWasteNothing) {
  for (uint32_t size = 16; size <= kObjectSizeMax; size *= 2) {
    EXPECT_EQ(contiguous_layout(size), packed_layout(size));
    EXPECT_EQ(layout_size(contiguous_layout(size)), size);
    EXPECT_EQ(cost(size), size);
    if (size >= kPageSize) {
      EXPECT_EQ(contiguous_layout(size).run_pages, size / kPageSize);
    }
  }
}

// The golden table: who changes the classes sees here what it costs.
TEST(SizeClass, TheTableOfWasteIsKnown) {
  std::printf("  size pages objects  tail waste  mean waste of the sizes it serves\n");
  double worst_tail = 0;
  double worst_mean = 0;
  uint32_t first = 1;
  for (const SizeClass& each : size_classes().first(slot_class_count())) {
    const Bytes span = each.pages_per_span * kPageSize;
    const double tail = 1 - share(Bytes(each.object_size) * each.objects_per_span, span);
    const double mean = mean_waste(first, each.object_size);
    std::printf("%6u %5u %7u %10.2f%% %10.2f%%\n", each.object_size, each.pages_per_span, each.objects_per_span,
                tail * 100, mean * 100);
    worst_tail = std::max(worst_tail, tail);
    if (each.object_size > 256) worst_mean = std::max(worst_mean, mean);
    first = each.object_size + 1;
  }
  const double slots = mean_waste(257, slot_size_max());
  const double blocks = mean_waste(4097, 32768);
  std::printf("%u classes of slots, %zu in all; worst tail %.2f%%, worst mean above 256 bytes %.2f%%\n",
              slot_class_count(), size_classes().size(), worst_tail * 100, worst_mean * 100);
  std::printf("mean waste: 257 bytes to the largest slot %.2f%%, 4 to 32 KiB %.2f%%\n", slots * 100, blocks * 100);
  EXPECT_EQ(slot_class_count(), 52U);
  EXPECT_EQ(slot_size_max(), 3584U);
  EXPECT_NEAR(worst_tail, 0.0182, 0.0001);
  EXPECT_NEAR(worst_mean, 0.0686, 0.0001);
  EXPECT_NEAR(slots, 0.0360, 0.0001);
  EXPECT_NEAR(blocks, 0.0054, 0.0001);
}

}  // namespace
}  // namespace ztmpfs
