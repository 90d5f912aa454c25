#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <optional>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

// A pool and a map that must hold the same objects, whatever is done to both.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) { rig_.emplace(image_, kLimit, kStockMax); }

  void step() {
    const auto draw = random_() % 100;
    if (draw < 30)
      add_packed();
    else if (draw < 50)
      add_in_place();
    else if (draw < 88)
      drop();
    else if (draw < 95)
      overwrite();
    else if (draw < 97)
      rig_->pool.release_free_spans(random_() % kMiB);
    else if (draw < 98)
      compact();
    else if (draw < 99)
      attach();
    else
      drop_most();
    check_one();
  }

  void check_all() {
    ASSERT_THAT(rig_->audit(), IsEmpty());
    ASSERT_EQ(rig_->pool.stats().objects_used, objects_.size());
    for (const auto& [handle, object] : objects_) check(handle, object);
  }

 private:
  static constexpr Bytes kLimit = 6 * kMiB;
  static constexpr Bytes kStockMax = kMiB;
  struct Object {
    std::vector<std::byte> bytes;
    uint64_t tag;
    uint32_t owner;
    bool in_place;
  };
  using Objects = std::map<Handle, Object>;

  void add_packed() {
    Object object{seeded_bytes(block_like_size(random_), random_()), random_(), uint32_t(random_()), false};
    const auto handle = rig_->pool.allocate_packed(object.bytes, object.owner, object.tag);
    note_added(handle, std::move(object));
  }
  void add_in_place() {
    const uint32_t size = random_() % 2 == 0 ? 16U << random_() % 14 : 1 + uint32_t(random_() % 9000);
    Object object{seeded_bytes(size, random_()), random_(), uint32_t(random_()), true};
    const auto handle = rig_->pool.allocate(size, object.owner, object.tag);
    if (handle) write(rig_->pool, *handle, object.bytes);
    note_added(handle, std::move(object));
  }
  void note_added(Result<Handle> handle, Object object) {
    if (!handle) {
      ASSERT_EQ(handle.error(), std::errc::no_space_on_device);
      // The cap is met only when less is left than one object, its span and a page of the table may take.
      ASSERT_LE(rig_->budget.available(), 44 * kPageSize);
      return;
    }
    ASSERT_TRUE(objects_.try_emplace(*handle, std::move(object)).second) << "a handle was given out twice";
  }
  Objects::iterator any() { return std::next(objects_.begin(), long(random_() % objects_.size())); }
  void drop() {
    if (objects_.empty()) return;
    const auto victim = any();
    rig_->pool.free(victim->first);
    objects_.erase(victim);
  }
  void drop_most() {
    while (objects_.size() > 20) drop();
  }
  void overwrite() {
    if (objects_.empty()) return;
    auto& [handle, object] = *any();
    object.tag = random_();
    rig_->pool.set_tag(handle, object.tag);
    if (!object.in_place) return;
    object.bytes = seeded_bytes(object.bytes.size(), random_());
    write(rig_->pool, handle, object.bytes);
  }
  void compact() {
    const Bytes before = rig_->pool.stats().span_bytes;
    const Bytes counted = rig_->pool.compactable();
    const bool everything = random_() % 2 == 0;
    const CompactResult result = rig_->pool.compact(everything ? kLimit : random_() % (256 * kKiB));
    ASSERT_EQ(before - rig_->pool.stats().span_bytes, result.pages_freed * kPageSize);
    ASSERT_EQ(rig_->pool.compactable(), counted - result.pages_freed * kPageSize);
    ASSERT_TRUE(!everything || result.pages_freed * kPageSize == counted);
    ASSERT_THAT(rig_->audit(), IsEmpty());
  }
  // The process dies and another one attaches; some objects are not referred to by then.
  void attach() {
    rig_.reset();
    std::erase_if(objects_, [&](const auto&) { return random_() % 10 == 0; });
    rig_.emplace(image_, kLimit, kStockMax);
    rig_->pool.attach([&](Handle handle, const HandleRecord& record) {
      const auto object = objects_.find(handle);
      if (object == objects_.end()) return false;
      EXPECT_EQ(record.owner, object->second.owner);
      return true;
    });
  }
  void check_one() {
    if (objects_.empty()) return;
    const auto object = any();
    check(object->first, object->second);
  }
  void check(Handle handle, const Object& object) {
    ASSERT_EQ(rig_->pool.size(handle), object.bytes.size());
    ASSERT_EQ(rig_->pool.tag(handle), object.tag);
    ASSERT_EQ(read(rig_->pool, handle), object.bytes);
  }

  std::mt19937_64 random_;
  Image image_{pool_image()};
  std::optional<PoolRig> rig_;
  Objects objects_;
};

class PoolModelTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(PoolModelTest, AgreesWithAMap) {
  Model model(GetParam());
  for (int step = 0; step < 3000; ++step) {
    model.step();
    if (step % 20 == 0) model.check_all();
    if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "seed " << GetParam() << ", step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PoolModelTest, ::testing::Range<uint64_t>(0, 4));

}  // namespace
}  // namespace ztmpfs
