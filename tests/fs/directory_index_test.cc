#include "fs/directory_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/support/test_volume.h"

namespace ztmpfs {
namespace {

TEST(DirectoryIndex, AgreesWithAMapUnderChange) {
  const Image image(ImageFiles::create(small_geometry()));
  MemoryBudget budget(64 * kMiB, 0);
  NameTable names(image, budget);
  names.attach([](uint32_t, const NameHead&) {});
  DirectoryIndex index(names);
  std::map<std::string, uint32_t> by_name;
  std::map<uint64_t, uint32_t> by_cookie;
  std::mt19937_64 random(1);
  uint64_t next_cookie = 3;
  for (int step = 0; step < 20000; ++step) {
    // Lengths on both sides of the short record's, and the longest.
    const std::string name = std::to_string(random() % 500) + std::string(random() % 3 * 100, 'x');
    const auto found = by_name.find(name);
    ASSERT_EQ(index.find(name), found == by_name.end() ? 0 : found->second);
    if (found == by_name.end()) {
      const auto id = names.allocate(name, 7, S_IFREG, next_cookie);
      ASSERT_TRUE(id.has_value());
      EXPECT_EQ(names[*id].text(), name);
      EXPECT_TRUE(index.insert(*id));
      by_name[name] = *id;
      by_cookie[next_cookie++] = *id;
    } else {
      by_cookie.erase(names[found->second].cookie);
      index.erase(found->second);
      names.release(found->second);
      by_name.erase(found);
    }
    const uint64_t cookie = random() % (next_cookie + 2);
    const auto next = by_cookie.upper_bound(cookie);
    ASSERT_EQ(index.next(cookie), next == by_cookie.end() ? 0 : next->second);
  }
  EXPECT_EQ(index.size(), by_name.size());
}

}  // namespace
}  // namespace ztmpfs
