#include "compress/same_filled.h"

#include <gtest/gtest.h>

#include <vector>

namespace ztmpfs {
namespace {

constexpr uint64_t kWord = 0x1122334455667788;

std::vector<std::byte> pattern(size_t size, size_t offset = 0) {
  std::vector<std::byte> bytes(size);
  for (size_t at = 0; at < size; ++at) bytes[at] = std::byte(kWord >> (at + offset) % 8 * 8);
  return bytes;
}

TEST(SameFilled, FindsTheWordWhateverTheTail) {
  for (size_t size = 8; size < 100; ++size) EXPECT_EQ(same_filled(pattern(size)), kWord) << size << " bytes";
  EXPECT_EQ(same_filled(pattern(131072)), kWord);
  EXPECT_EQ(same_filled(std::vector<std::byte>(4096)), 0u);
}

TEST(SameFilled, FindsNothingInBlocksShorterThanAWord) {
  for (size_t size = 0; size < 8; ++size) EXPECT_EQ(same_filled(std::vector<std::byte>(size)), std::nullopt);
}

TEST(SameFilled, SeesEveryByteThatDiffers) {
  for (size_t size : {9, 15, 16, 17, 23, 24, 63, 64, 65}) {
    for (size_t at = 0; at < size; ++at) {
      auto bytes = pattern(size);
      bytes[at] ^= std::byte{1};
      // A change in the first word is one of the pattern itself when nothing repeats that byte.
      if (at < 8 && at + 8 >= size) continue;
      EXPECT_EQ(same_filled(bytes), std::nullopt) << "byte " << at << " of " << size;
    }
  }
}

TEST(SameFilled, DoesNotNeedAlignment) {
  const auto bytes = pattern(200);
  for (size_t start = 0; start < 16; ++start)
    EXPECT_TRUE(same_filled(std::span(bytes).subspan(start, 100)).has_value()) << "from byte " << start;
}

TEST(Fill, RepeatsTheWordFromAnyOffset) {
  for (size_t offset : {0, 1, 5, 7, 8, 9, 4095, 32768}) {
    for (size_t size : {0, 1, 7, 8, 9, 31, 4096}) {
      std::vector<std::byte> target(size);
      fill(target, kWord, offset);
      EXPECT_EQ(target, pattern(size, offset)) << size << " bytes from " << offset;
    }
  }
}

TEST(Fill, UndoesSameFilled) {
  const auto bytes = pattern(1003);
  std::vector<std::byte> back(bytes.size());
  fill(back, same_filled(bytes).value(), 0);
  EXPECT_EQ(back, bytes);
}

}  // namespace
}  // namespace ztmpfs
