#include "compress/codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <tuple>

#include "compress/codec_set.h"
#include "tests/compress/corpus.h"

namespace ztmpfs {
namespace {

using Block = std::vector<std::byte>;

constexpr std::byte kGuard{0xa5};
constexpr size_t kGuardSize = 64;

// The target with guard bytes behind it: neither codec may touch them, whatever it reads.
struct GuardedBlock {
  explicit GuardedBlock(size_t size) : bytes(size + kGuardSize, kGuard) {}
  std::span<std::byte> target() { return std::span(bytes).first(bytes.size() - kGuardSize); }
  bool guard_is_whole() const {
    return std::all_of(bytes.end() - kGuardSize, bytes.end(), [](auto b) { return b == kGuard; });
  }
  Block bytes;
};

class CodecTest : public testing::TestWithParam<std::tuple<const char*, Sample>> {
 protected:
  const Codec& codec() const { return *codecs_.writer(); }
  const Block& content() const { return std::get<1>(GetParam()).bytes; }
  Block compressed() const {
    Block target(content().size() * 2 + 1024);
    target.resize(codec().compress(content(), target));
    return target;
  }

 private:
  const CodecSet codecs_{parse_codec(std::get<0>(GetParam()))};
};

TEST_P(CodecTest, RoundTripsExactly) {
  const Block object = compressed();
  ASSERT_GT(object.size(), 0u);
  GuardedBlock back(content().size());
  const auto size = codec().decompress(object, back.target());
  ASSERT_TRUE(size.has_value());
  EXPECT_EQ(*size, content().size());
  EXPECT_TRUE(std::ranges::equal(back.target(), content()));
  EXPECT_TRUE(back.guard_is_whole());
}

TEST_P(CodecTest, ReturnsZeroWhenTheTargetIsTooShort) {
  const Block object = compressed();
  for (size_t size : {size_t(0), size_t(1), object.size() / 2, object.size() - 1}) {
    GuardedBlock target(size);
    EXPECT_EQ(codec().compress(content(), target.target()), 0u) << "a target of " << size << " bytes";
    EXPECT_TRUE(target.guard_is_whole());
  }
}

TEST_P(CodecTest, RefusesATargetThatIsTooShort) {
  const Block object = compressed();
  for (size_t size : {size_t(0), content().size() / 2, content().size() - 1}) {
    GuardedBlock back(size);
    const auto result = codec().decompress(object, back.target());
    ASSERT_FALSE(result.has_value()) << "a target of " << size << " bytes";
    EXPECT_EQ(result.error(), std::errc::io_error);
    EXPECT_TRUE(back.guard_is_whole());
  }
}

TEST_P(CodecTest, NeverTakesATruncatedObjectForTheWhole) {
  const Block object = compressed();
  const size_t step = std::max<size_t>(1, object.size() / 200);
  for (size_t size = 0; size < object.size(); size += step) {
    GuardedBlock back(content().size());
    // An allocation of its own, so that the address sanitizer sees a read past its end.
    const Block cut(object.begin(), object.begin() + ptrdiff_t(size));
    const auto result = codec().decompress(cut, back.target());
    EXPECT_TRUE(!result || *result < content().size()) << size << " of " << object.size() << " bytes";
    EXPECT_TRUE(back.guard_is_whole());
  }
}

TEST_P(CodecTest, StaysInsideTheTargetWhenTheObjectIsDamaged) {
  const Block object = compressed();
  std::mt19937_64 random(object.size());
  for (int round = 0; round < 300; ++round) {
    Block damaged = object;
    for (int flips = 0; flips <= round % 8; ++flips) damaged[random() % damaged.size()] ^= std::byte(1 << random() % 8);
    GuardedBlock back(content().size());
    const auto result = codec().decompress(damaged, back.target());
    EXPECT_LE(result.value_or(0), content().size());
    EXPECT_TRUE(result || result.error() == std::errc::io_error);
    EXPECT_TRUE(back.guard_is_whole());
  }
}

INSTANTIATE_TEST_SUITE_P(All, CodecTest,
                         testing::Combine(testing::Values("lz4", "zstd", "zstd:9", "zstd:-5"),
                                          testing::ValuesIn(corpus())),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param);
                           std::ranges::replace(name, ':', '_');
                           std::ranges::replace(name, '-', 'm');
                           return name + "_" + std::get<1>(test.param).name;
                         });

class EachCodecTest : public testing::TestWithParam<const char*> {
 protected:
  const Codec& codec() const { return *codecs_.writer(); }

 private:
  const CodecSet codecs_{parse_codec(GetParam())};
};

TEST_P(EachCodecTest, SaysThatRandomBytesDoNotFitTheirOwnSize) {
  const Block content = random_bytes(32768, 7);
  Block target(content.size());
  EXPECT_EQ(codec().compress(content, target), 0u);
}

TEST_P(EachCodecTest, HalvesText) {
  const Block content = text_bytes(32768, 7);
  Block target(content.size() / 2);
  EXPECT_GT(codec().compress(content, target), 0u);
}

TEST_P(EachCodecTest, CompressesNothingIntoNothing) {
  Block target(100);
  EXPECT_EQ(codec().compress({}, target), 0u);
  EXPECT_FALSE(codec().decompress({}, target).has_value());
}

TEST_P(EachCodecTest, RefusesNoise) {
  Block target(4096);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto result = codec().decompress(random_bytes(1 + seed * 13, seed), target);
    EXPECT_LE(result.value_or(0), target.size());  // LZ4 can read nearly anything
  }
}

TEST_P(EachCodecTest, ServesThreadsWithContextsOfTheirOwn) {
  std::vector<std::thread> threads;
  std::atomic<int> mismatches = 0;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed, &mismatches] {
      const Block content = text_bytes(16384, seed);
      Block object(content.size() * 2);
      Block back(content.size());
      for (int round = 0; round < 50; ++round) {
        const size_t size = codec().compress(content, object);
        const auto result = codec().decompress(std::span(object).first(size), back);
        if (!result || back != content) ++mismatches;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(mismatches, 0);
}

INSTANTIATE_TEST_SUITE_P(All, EachCodecTest, testing::Values("lz4", "zstd"));

}  // namespace
}  // namespace ztmpfs
