#include "base/durable_text.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <stdexcept>

namespace ztmpfs {
namespace {

TEST(DurableText, ZerosAreTheEmptyText) {
  alignas(DurableText) std::array<std::byte, sizeof(DurableText)> zeros{};
  EXPECT_EQ(reinterpret_cast<const DurableText*>(zeros.data())->load(), "");
}

TEST(DurableText, HoldsWhatWasStoredLast) {
  DurableText text;
  for (const char* value : {"size=1", "a much longer text than that", "", "short"}) {
    text.store(value);
    EXPECT_EQ(text.load(), value);
  }
}

TEST(DurableText, TextThatIsTooLongChangesNothing) {
  DurableText text;
  const std::string longest(DurableText::kLengthMax, 'x');
  text.store(longest);
  EXPECT_THROW(text.store(longest + "x"), std::length_error);
  EXPECT_EQ(text.load(), longest);
}

// What a process leaves that dies while it stores: any part of the other copy is written, the word is not.
TEST(DurableText, IsWholeWhileAnotherTextIsWritten) {
  DurableText text;
  text.store("before");
  DurableText later;
  std::memcpy(static_cast<void*>(&later), static_cast<const void*>(&text), sizeof(text));
  later.store("after");
  constexpr size_t kWord = sizeof(std::atomic<uint32_t>);
  std::memcpy(reinterpret_cast<std::byte*>(&text) + kWord, reinterpret_cast<const std::byte*>(&later) + kWord,
              sizeof(text) - kWord);
  EXPECT_EQ(text.load(), "before");
  EXPECT_EQ(later.load(), "after");
}

}  // namespace
}  // namespace ztmpfs
