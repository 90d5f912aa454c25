#include "pool/run_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ztmpfs {
namespace {

TEST(RunIndex, FindsTheLowestChunkThatFits) {
  std::mt19937 random(2);
  RunIndex index;
  std::vector<uint32_t> model;
  for (int step = 0; step < 5000; ++step) {
    const auto chunk = uint32_t(random() % (model.size() + 1) % 50);
    const auto longest = uint32_t(random() % 40 < 20 ? random() % 8 : random() % 257);
    index.set(chunk, longest);
    if (chunk == model.size()) model.push_back(0);
    model[chunk] = longest;
    const uint32_t length = 1 + uint32_t(random() % kRunPagesMax);
    const auto found = std::ranges::find_if(model, [&](uint32_t each) { return each >= length; });
    ASSERT_EQ(index.find(length), found == model.end() ? RunIndex::kNoChunk : uint32_t(found - model.begin()));
    const auto last = std::find_if(model.rbegin(), model.rend(), [](uint32_t each) { return each > 0; });
    ASSERT_EQ(index.find_last(), last == model.rend() ? RunIndex::kNoChunk : uint32_t(model.rend() - last - 1));
    ASSERT_EQ(index.longest(chunk), std::min(longest, kRunPagesMax));
  }
}

}  // namespace
}  // namespace ztmpfs
