// Random requests, from plain noise to almost right ones: no crash, one reply each, and a tree that holds together.
// tests/fuzz/request_fuzz.cc does the same with coverage; this one always does the same.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/request_fuzzer.h"

namespace ztmpfs {
namespace {

std::vector<uint8_t> make_noise(std::mt19937_64& random) {
  std::vector<uint8_t> input(1 + random() % 200);
  for (auto& byte : input) byte = uint8_t(random());
  input[0] = uint8_t(random() % 8 == 0 ? random() : 0xff);
  // Small numbers and short names are what requests consist of.
  for (size_t i = 1 + sizeof(fuse_in_header); i < input.size(); ++i)
    if (random() % 2 == 0) input[i] = uint8_t(random() % 4 == 0 ? 'a' + random() % 3 : 0);
  return input;
}

TEST(RequestStorm, NeitherNoiseNorAlmostRequestsDoHarm) {
  RequestFuzzer fuzzer;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    for (int i = 0; i < 5000; ++i) fuzzer.feed(make_noise(random));
    ASSERT_EQ(fuzzer.volume().fs().audit(), std::vector<std::string>());
  }
  EXPECT_GT(fuzzer.volume().fs().files() + fuzzer.volume().fs().directories(), 1u) << "nothing got past the checks";
}

}  // namespace
}  // namespace ztmpfs
