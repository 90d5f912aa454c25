#include "fs/xattr_blob.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <string>

namespace ztmpfs {
namespace {

using Map = std::map<std::string, std::string, std::greater<>>;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string text(std::span<const std::byte> value) {
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

Map contents(const XattrBlob& blob) {
  Map map;
  blob.for_each([&](const XattrBlob::Attribute& attribute) {
    // As they come they are in descending order: each goes to the end.
    map.emplace_hint(map.end(), attribute.name, text(attribute.value));
  });
  return map;
}

XattrBlob reparsed(const XattrBlob& blob) {
  auto parsed = XattrBlob::parse({blob.bytes().begin(), blob.bytes().end()});
  EXPECT_TRUE(parsed.has_value());
  return parsed.value_or(XattrBlob());
}

TEST(XattrBlob, AgreesWithAMap) {
  std::mt19937 random(1);
  XattrBlob blob;
  Map map;
  for (int step = 0; step < 5000; ++step) {
    const std::string name = "user." + std::string(random() % 3, 'x') + char('a' + random() % 8);
    if (random() % 3 == 0) {
      ASSERT_EQ(blob.remove(name), map.erase(name) == 1);
    } else {
      const std::string value(random() % 40, char(random()));
      blob.set(name, bytes(value));
      map[name] = value;
    }
    ASSERT_EQ(contents(blob), map);
    ASSERT_EQ(blob.empty(), map.empty());
    const auto found = blob.find(name);
    ASSERT_EQ(found.has_value(), map.contains(name));
    if (found) {
      ASSERT_EQ(text(*found), map[name]);
    }
    if (step % 100 == 0) blob = reparsed(blob);
  }
}

TEST(XattrBlob, NamesComeInDescendingOrder) {
  XattrBlob blob;
  for (const char* name : {"user.b", "trusted.z", "user.aa", "user.a"}) blob.set(name, bytes("v"));
  std::string names;
  blob.for_each([&](const XattrBlob::Attribute& attribute) { names.append(attribute.name) += ' '; });
  EXPECT_EQ(names, "user.b user.aa user.a trusted.z ");
}

TEST(XattrBlob, NoCutOrDisorderedBlobIsTaken) {
  XattrBlob blob;
  blob.set("user.a", bytes("value"));
  const size_t first = blob.bytes().size();
  blob.set("trusted.b", bytes(""));
  const std::vector<std::byte> whole(blob.bytes().begin(), blob.bytes().end());
  for (size_t length = 1; length < whole.size(); ++length) {
    if (length != first) {
      EXPECT_FALSE(XattrBlob::parse({whole.begin(), whole.begin() + ptrdiff_t(length)})) << length;
    }
  }
  std::vector<std::byte> turned(whole.begin() + ptrdiff_t(first), whole.end());
  turned.insert(turned.end(), whole.begin(), whole.begin() + ptrdiff_t(first));
  EXPECT_FALSE(XattrBlob::parse(turned));
  std::vector<std::byte> twice = whole;
  twice.insert(twice.end(), whole.begin(), whole.end());
  EXPECT_FALSE(XattrBlob::parse(twice));
}

}  // namespace
}  // namespace ztmpfs
