#include "store/block_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace ztmpfs {
namespace {

TEST(BlockMap, AgreesWithAnOrderedMap) {
  std::mt19937_64 random(1);
  BlockMap map;
  std::map<uint64_t, uint32_t> model;
  for (int step = 0; step < 20000; ++step) {
    const uint64_t index = random() % 4 == 0 ? random() % (1ULL << 48) : random() % 200;
    if (const auto found = model.find(index); found != model.end()) {
      EXPECT_EQ(map.find(index), found->second);
      map.erase(index);
      model.erase(found);
    } else {
      EXPECT_EQ(map.find(index), 0U);
      const auto slot = uint32_t(step + 1);
      map.insert(index, slot);
      model.emplace(index, slot);
    }
    const uint64_t from = random() % 220;
    std::pair<uint64_t, uint32_t> expected;
    if (!model.empty() && model.rbegin()->first >= from) expected = *model.rbegin();
    EXPECT_EQ(map.last(from), expected) << "from " << from;
  }
  EXPECT_EQ(map.empty(), model.empty());
}

TEST(BlockMap, VisitsEveryBlockOnce) {
  BlockMap map;
  for (const uint64_t index : {0ULL, 5ULL, 64ULL, 1ULL << 40}) map.insert(index, uint32_t(index % 1000 + 1));
  std::map<uint64_t, uint32_t> seen;
  map.for_each([&](uint64_t index, uint32_t slot) { EXPECT_TRUE(seen.emplace(index, slot).second); });
  EXPECT_EQ(seen.size(), 4U);
}

}  // namespace
}  // namespace ztmpfs
