#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

constexpr auto kAllLive = [](Handle, const HandleRecord&) { return true; };

ImageFiles duplicate(const ImageFiles& files) {
  const auto copy = [](const UniqueFd& fd) { return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); };
  return {copy(files.meta), copy(files.data), copy(files.buffers)};
}

class PoolAttachTest : public ::testing::Test {
 protected:
  // Objects of all kinds, some of them freed again.
  void fill() {
    PoolRig rig(image_);
    std::mt19937 random(5);
    for (int i = 0; i < 500; ++i) {
      const auto bytes = seeded_bytes(i % 3 == 0 ? 16U << random() % 14 : block_like_size(random), random());
      const Handle handle = i % 3 == 0 ? rig.pool.allocate(uint32_t(bytes.size()), uint32_t(i), 5).value()
                                       : rig.pool.allocate_packed(bytes, uint32_t(i), 6).value();
      write_if_in_place(rig.pool, handle, bytes, i % 3 == 0);
      contents_[handle] = bytes;
      if (random() % 4 == 0) {
        const auto victim = contents_.begin();
        rig.pool.free(victim->first);
        contents_.erase(victim);
      }
    }
    ASSERT_THAT(rig.audit(), IsEmpty());
  }
  static void write_if_in_place(Pool& pool, Handle handle, const std::vector<std::byte>& bytes, bool in_place) {
    if (in_place) write(pool, handle, bytes);
  }
  void expect_contents(const Pool& pool) const {
    for (const auto& [handle, bytes] : contents_) ASSERT_EQ(read(pool, handle), bytes) << handle;
  }
  HandleRecord& record(Handle handle) {
    static constexpr auto kPerPage = DurableTable<HandleRecord>::kRecordsPerPage;
    return *reinterpret_cast<HandleRecord*>(image_.region(RegionId::kHandles).base() + handle / kPerPage * kPageSize +
                                            handle % kPerPage * sizeof(HandleRecord));
  }
  void expect_refused(const char* reason) {
    PoolRig rig(image_);
    try {
      rig.pool.attach(kAllLive);
      FAIL() << "attach() took a damaged image: " << reason;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr(reason));
    }
  }

  Image image_{pool_image()};
  std::map<Handle, std::vector<std::byte>> contents_;
};

TEST_F(PoolAttachTest, FindsEverythingAgain) {
  fill();
  const Image second_mapping(duplicate(image_.files()));
  PoolRig rig(second_mapping);
  rig.pool.attach(kAllLive);
  EXPECT_THAT(rig.audit(), IsEmpty());
  EXPECT_EQ(rig.pool.stats().objects_used, contents_.size());
  expect_contents(rig.pool);
  for (const auto& [handle, bytes] : contents_) rig.pool.free(handle);
  EXPECT_EQ(rig.pool.stats().resident(), 0);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST_F(PoolAttachTest, ReadsNoPayloadPage) {
  fill();
  PoolRig rig(image_);
  ASSERT_EQ(::mprotect(image_.data().base(), image_.data().length(), PROT_NONE), 0);
  rig.pool.attach(kAllLive);
  EXPECT_THAT(rig.audit(), IsEmpty());
  ASSERT_EQ(::mprotect(image_.data().base(), image_.data().length(), PROT_READ | PROT_WRITE), 0);
  expect_contents(rig.pool);
}

TEST_F(PoolAttachTest, FreesWhatNobodyRefersTo) {
  fill();
  PoolRig rig(image_);
  std::erase_if(contents_, [](const auto& object) { return object.first % 3 == 0; });
  rig.pool.attach([](Handle handle, const HandleRecord&) { return handle % 3 != 0; });
  EXPECT_THAT(rig.audit(), IsEmpty());
  EXPECT_EQ(rig.pool.stats().objects_used, contents_.size());
  expect_contents(rig.pool);
}

TEST_F(PoolAttachTest, TellsWhoOwnsWhat) {
  fill();
  PoolRig rig(image_);
  rig.pool.attach([this](Handle handle, const HandleRecord& record) {
    EXPECT_EQ(record.size, contents_.at(handle).size());
    EXPECT_EQ(record.tag, record.owner % 3 == 0 ? 5 : 6);
    return true;
  });
}

TEST_F(PoolAttachTest, ReturnsAllPagesIfNothingIsLive) {
  fill();
  PoolRig rig(image_);
  rig.pool.attach([](Handle, const HandleRecord&) { return false; });
  EXPECT_THAT(rig.audit(), IsEmpty());
  EXPECT_EQ(rig.pool.stats().resident(), 0);
}

TEST_F(PoolAttachTest, PagesThatWereStockOrHalfGivenOutReturnToTheOs) {
  {
    PoolRig rig(image_, kGiB, kGiB);
    const Handle hot = rig.pool.allocate(32768, 0, 0).value();
    ASSERT_TRUE(rig.pool.allocate(32768, 0, 0));
    rig.pool.free(hot);
    ASSERT_TRUE(rig.arena.allocate(9));  // as a server that died between taking pages and publishing the object
  }
  PoolRig rig(image_, kGiB, kGiB);
  rig.pool.attach(kAllLive);
  EXPECT_EQ(rig.pool.stats().resident(), 32768);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST_F(PoolAttachTest, TheCapDoesNotKeepAnImageFromBeingAttached) {
  fill();
  PoolRig rig(image_, kMiB);
  rig.pool.attach(kAllLive);
  EXPECT_GT(rig.budget.used(), rig.budget.limit());
  EXPECT_FALSE(rig.pool.allocate(4096, 0, 0));
  expect_contents(rig.pool);
}

class PoolDamagedTest : public PoolAttachTest {
 protected:
  void SetUp() override {
    PoolRig rig(image_);
    small_ = rig.pool.allocate(100, 0, 0).value();
    other_small_ = rig.pool.allocate(100, 0, 0).value();
    other_class_ = rig.pool.allocate(2000, 0, 0).value();
    run_ = rig.pool.allocate(8192, 0, 0).value();
    packed_ = rig.pool.allocate_packed(seeded_bytes(9000, 1), 0, 0).value();
  }
  Location location(Handle handle) { return Location::decode(record(handle).location); }
  void set_location(Handle handle, Location location) { record(handle).location = location.encode(); }

  Handle small_, other_small_, other_class_, run_, packed_;
};

TEST_F(PoolDamagedTest, TwoObjectsInOneSlot) {
  set_location(small_, location(other_small_));
  expect_refused("lies in a slot that cannot be its own");
}

TEST_F(PoolDamagedTest, ASlotThatDoesNotExist) {
  Location place = location(other_class_);
  place.slot = 255;
  set_location(other_class_, place);
  expect_refused("lies in a slot that cannot be its own");
}

TEST_F(PoolDamagedTest, TwoSpansThatOverlap) {
  Location place = location(other_class_);
  place.span_page = location(small_).span_page;
  set_location(other_class_, place);
  expect_refused("lies in a span that overlaps another");
}

TEST_F(PoolDamagedTest, TwoRunsThatOverlap) {
  Location place = location(packed_);
  place.run_page = location(run_).run_page + 1;
  set_location(packed_, place);
  expect_refused("lies where another object lies");
}

TEST_F(PoolDamagedTest, APlaceOutsideTheArena) {
  set_location(run_, {.run_page = Location::kPagesMax - 1});
  expect_refused("lies where another object lies");
}

TEST_F(PoolDamagedTest, APlaceWithoutMemory) {
  set_location(run_, {.run_page = 50000});
  expect_refused("an object lies on page 50000 of the arena, which is not there");
}

TEST_F(PoolDamagedTest, ASizeThatDoesNotFitThePlace) {
  record(run_).size = 0;
  expect_refused("has an impossible size");
  record(run_).size = kObjectSizeMax + 1;
  expect_refused("has an impossible size");
  record(run_).size = 8192;
  record(small_).size = 4096;
  expect_refused("does not fit a slot");
  record(small_).size = 100;
  record(packed_).size = 8192;
  expect_refused("has a place that does not go with its size");
}

}  // namespace
}  // namespace ztmpfs
