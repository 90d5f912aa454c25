#include "pool/slot_spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

// Three spans at pages 0, 10 and 20 with one object left in each.
class SlotSpansTest : public ::testing::Test {
 protected:
  SlotSpansTest() {
    MutexLock lock(spans_.mutex);
    for (const uint32_t page : {0U, 10U, 20U}) {
      const Handle first = ++last_;
      spans_.add(page, first);
      for (uint32_t slot = 1; slot < spans_.size_class().objects_per_span; ++slot) spans_.take(++last_);
    }
    Handle handle = 0;
    for (const uint32_t page : {0U, 10U, 20U})
      for (uint32_t slot = 0; slot < spans_.size_class().objects_per_span; ++slot) {
        const bool stays = slot == 0;
        ++handle;
        if (!stays) [[maybe_unused]]
          const bool emptied = spans_.put({page, slot}, handle);
      }
  }

  // All steps that can be done when only these spans are usable; the pages that were emptied.
  std::set<uint32_t> compact(const std::set<uint32_t>& usable, bool& stuck) {
    const SlotSpans::Mover mover{.move = [&](Handle, SlotSpans::Place, SlotSpans::Place) { ++moves_; },
                                 .is_usable = [&](uint32_t page) { return usable.contains(page); }};
    std::set<uint32_t> emptied;
    uint32_t destination = SlotSpans::kNoPage;
    MutexLock lock(spans_.mutex);
    while (true) {
      const SlotSpans::CompactStep step = spans_.compact_step(destination, 100, mover);
      if (step.emptied_page != SlotSpans::kNoPage) emptied.insert(step.emptied_page);
      stuck = step.stuck;
      if (step.objects_moved == 0) break;
    }
    std::vector<std::string> breaches;
    spans_.audit(breaches);
    EXPECT_THAT(breaches, testing::IsEmpty());
    return emptied;
  }

  SlotSpans spans_{size_classes()[slot_class(1000)]};
  Handle last_ = 0;
  int moves_ = 0;
};

TEST_F(SlotSpansTest, AllButOneSpanIsEmptied) {
  bool stuck = true;
  EXPECT_EQ(compact({0, 10, 20}, stuck).size(), 2);
  EXPECT_FALSE(stuck);
  EXPECT_EQ(moves_, 2);
}

TEST_F(SlotSpansTest, SpansThatAreNotUsableAreNeitherEmptiedNorFilled) {
  bool stuck = false;
  const auto emptied = compact({0, 20}, stuck);
  EXPECT_EQ(emptied.size(), 1);
  EXPECT_FALSE(emptied.contains(10));
  EXPECT_TRUE(stuck) << "the span that is left could be filled into the other one";
  EXPECT_EQ(moves_, 1);
}

TEST_F(SlotSpansTest, NothingIsMovedWhenNoTwoSpansAreUsable) {
  bool stuck = false;
  EXPECT_THAT(compact({20}, stuck), testing::IsEmpty());
  EXPECT_TRUE(stuck);
  EXPECT_THAT(compact({}, stuck), testing::IsEmpty());
  EXPECT_TRUE(stuck);
  EXPECT_EQ(moves_, 0);
}

TEST(ArenaResidence, PagesThatWereGivenBackAreNotResident) {
  const Image image(pool_image());
  PoolRig rig(image);
  const uint32_t page = rig.arena.allocate(4).value();
  EXPECT_TRUE(rig.arena.is_resident(page, 4));
  rig.arena.discard(page, 4);
  EXPECT_FALSE(rig.arena.is_resident(page, 4));
}

}  // namespace
}  // namespace ztmpfs
