#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>

#include "base/durable_table.h"
#include "tests/base/small_image.h"

namespace ztmpfs {
namespace {

struct Record {
  uint64_t in_use;
  std::array<uint64_t, 12> payload;  // so that records do not divide a page
};

// A table beside the map that it should equal.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed) { open(); }

  void step() {
    const uint64_t choice = random_() % 1000;
    if (choice == 0) open();
    if (choice == 1) shrinking_ = !shrinking_;
    const bool take = values_.empty() || random_() % 100 < (shrinking_ ? 30 : 60);
    take ? allocate() : release();
    ASSERT_EQ(table_->allocator().records_used(), values_.size());
  }

  void audit() const {
    for (const auto& [id, value] : values_) {
      ASSERT_TRUE(table_->contains(id));
      ASSERT_EQ((*table_)[id].payload[11], value) << "record " << id;
    }
    const Bytes resident = image_.allocated() - kPageSize;
    ASSERT_EQ(table_->allocator().resident(), resident);
    ASSERT_EQ(budget_->used(), resident);
    // Every page but a few holds a record.
    std::map<uint32_t, int> pages;
    for (const auto& entry : values_) ++pages[entry.first / DurableTable<Record>::kRecordsPerPage];
    ASSERT_LE(resident / kPageSize, pages.size() + 9);
  }

 private:
  // As after the death of a server: everything derived is made anew.
  void open() {
    budget_ = std::make_unique<MemoryBudget>(kGiB, 0);
    table_ = std::make_unique<DurableTable<Record>>(image_.region(RegionId::kNames), *budget_);
    table_->attach([](uint32_t, const Record& record) { return record.in_use != 0; });
  }

  void allocate() {
    const uint32_t id = table_->allocator().allocate();
    if (id == 0) return;
    ASSERT_FALSE(values_.contains(id));
    (*table_)[id].payload[11] = values_[id] = random_();
    (*table_)[id].in_use = 1;
  }

  void release() {
    auto victim = values_.lower_bound(uint32_t(random_() % (values_.rbegin()->first + 1)));
    (*table_)[victim->first].in_use = 0;
    table_->allocator().release(victim->first);
    values_.erase(victim);
  }

  std::mt19937_64 random_;
  bool shrinking_ = false;
  Image image_{small_image()};
  std::unique_ptr<MemoryBudget> budget_;
  std::unique_ptr<DurableTable<Record>> table_;
  std::map<uint32_t, uint64_t> values_;
};

class DurableTableModelTest : public testing::TestWithParam<uint64_t> {};

TEST_P(DurableTableModelTest, EqualsAMapThroughRestarts) {
  Model model(GetParam());
  for (int step = 0; step < 30000; ++step) {
    ASSERT_NO_FATAL_FAILURE(model.step()) << "step " << step;
    if (step % 500 != 0) continue;
    ASSERT_NO_FATAL_FAILURE(model.audit()) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, DurableTableModelTest, testing::Range(uint64_t(1), uint64_t(9)));

}  // namespace
}  // namespace ztmpfs
