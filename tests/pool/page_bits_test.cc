#include "pool/page_bits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace ztmpfs {
namespace {

using Model = std::vector<bool>;

uint32_t model_find_run(const Model& model, uint32_t length) {
  for (uint32_t begin = 0; begin + length <= model.size(); ++begin)
    if (std::all_of(model.begin() + begin, model.begin() + begin + length, [](bool bit) { return bit; })) return begin;
  return PageBits::kPages;
}

TEST(PageBits, AgreesWithAVectorOfBits) {
  std::mt19937 random(1);
  PageBits bits;
  Model model(PageBits::kPages);
  for (int step = 0; step < 2000; ++step) {
    const uint32_t first = uint32_t(random() % PageBits::kPages);
    const uint32_t count = uint32_t(random() % std::min(PageBits::kPages - first + 1, 90U));
    const bool set = random() % 2 == 0;
    set ? bits.set(first, count) : bits.clear(first, count);
    std::fill_n(model.begin() + first, count, set);

    ASSERT_EQ(bits.count(first / 2, 100),
              uint32_t(std::count(model.begin() + first / 2, model.begin() + first / 2 + 100, true)));
    const auto next_set = std::find(model.begin() + first, model.end(), true);
    ASSERT_EQ(bits.next_set(first), uint32_t(next_set - model.begin()));
    const auto next_clear = std::find(model.begin() + first, model.end(), false);
    ASSERT_EQ(bits.next_clear(first), uint32_t(next_clear - model.begin()));
    const uint32_t length = 1 + uint32_t(random() % 32);
    ASSERT_EQ(bits.find_run(length), model_find_run(model, length));
    const auto last = std::find(model.rbegin() + (PageBits::kPages - first), model.rend(), true);
    ASSERT_EQ(bits.end_of_last_run(first), uint32_t(model.rend() - last));
    const uint32_t longest = bits.longest_run();
    ASSERT_EQ(model_find_run(model, longest + 1), PageBits::kPages);
    if (longest > 0) {
      ASSERT_LT(model_find_run(model, longest), PageBits::kPages);
    }
  }
}

TEST(PageBits, CombinesBitByBit) {
  PageBits low;
  low.set(0, 130);
  PageBits high;
  high.set(100, 156);
  EXPECT_EQ((low & high).count(), 30U);
  EXPECT_EQ((low & high).next_set(0), 100U);
  EXPECT_EQ((~low).count(), 126U);
  EXPECT_EQ(~~low, low);
}

}  // namespace
}  // namespace ztmpfs
