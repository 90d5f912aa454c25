// Whatever lies in an object, reading it stays inside the block; what a codec wrote, it reads back.
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "compress/codec_set.h"
#include "compress/same_filled.h"

namespace {

constexpr size_t kBlockMax = 131072;

void read_back(const ztmpfs::Codec& codec, std::span<const std::byte> content) {
  std::vector<std::byte> object(content.size() * 2 + 1024);
  object.resize(codec.compress(content, object));
  if (object.empty()) return;
  std::vector<std::byte> back(content.size());
  const auto size = codec.decompress(object, back);
  ZTMPFS_CHECK(size && *size == content.size(), "an object of our own is refused");
  ZTMPFS_CHECK(std::memcmp(back.data(), content.data(), content.size()) == 0, "an object of our own reads differently");
}

void read_anything(const ztmpfs::Codec& codec, std::span<const std::byte> object, size_t target_size) {
  std::vector<std::byte> target(target_size);
  const auto size = codec.decompress(object, target);
  ZTMPFS_CHECK(!size || *size <= target_size, "more was written than fits");
}

}  // namespace

// The first two bytes choose the target's size, the rest is the object.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ztmpfs::CodecSet codecs({ztmpfs::CodecId::kZstd, 1});
  if (size < 2) return 0;
  const size_t target_size = (data[0] | size_t(data[1]) << 8) * 2 % (kBlockMax + 1);
  const std::span<const std::byte> object(reinterpret_cast<const std::byte*>(data + 2), size - 2);
  for (const auto id : {ztmpfs::CodecId::kLz4, ztmpfs::CodecId::kZstd}) {
    read_anything(*codecs.reader(id), object, target_size);
    read_back(*codecs.reader(id), object);
  }
  if (const auto word = ztmpfs::same_filled(object)) {
    std::vector<std::byte> back(object.size());
    ztmpfs::fill(back, *word, 0);
    ZTMPFS_CHECK(std::memcmp(back.data(), object.data(), object.size()) == 0, "a same-filled block reads differently");
  }
  return 0;
}
