#include "compress/codec_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace ztmpfs {
namespace {

std::string refusal_of(std::string_view text) {
  try {
    parse_codec(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST(ParseCodec, ReadsEveryName) {
  EXPECT_EQ(parse_codec("none").id, CodecId::kNone);
  EXPECT_EQ(parse_codec("lz4").id, CodecId::kLz4);
  EXPECT_EQ(parse_codec("zstd").id, CodecId::kZstd);
  EXPECT_EQ(parse_codec("zstd").level, 3);
}

TEST(ParseCodec, ReadsZstdLevels) {
  EXPECT_EQ(parse_codec("zstd:3").level, 3);
  EXPECT_EQ(parse_codec("zstd:22").level, 22);
  EXPECT_EQ(parse_codec("zstd:-7").level, -7);
}

TEST(ParseCodec, NamesTheCulprit) {
  for (const char* text : {"", "lzo", "LZ4", "lz4:1", "zstd:", "zstd:0", "zstd:23", "zstd:3x", "zstd:+3", "zstd: 3",
                           "zstd:99999999999999999999", "none:1", "zstd-3"}) {
    EXPECT_THAT(refusal_of(text), testing::HasSubstr("'" + std::string(text) + "'"));
  }
}

TEST(CodecSet, WritesWithTheChosenCodec) {
  EXPECT_EQ(CodecSet({CodecId::kLz4}).writer()->id(), CodecId::kLz4);
  EXPECT_EQ(CodecSet({CodecId::kZstd, 3}).writer()->id(), CodecId::kZstd);
  EXPECT_EQ(CodecSet({CodecId::kNone}).writer(), nullptr);
}

TEST(CodecSet, ReadsObjectsOfEveryCodecWhateverItWrites) {
  for (const char* text : {"lz4", "zstd", "none"}) {
    const CodecSet codecs(parse_codec(text));
    EXPECT_EQ(codecs.reader(CodecId::kLz4)->name(), "lz4");
    EXPECT_EQ(codecs.reader(CodecId::kZstd)->name(), "zstd");
    EXPECT_EQ(codecs.reader(CodecId::kNone), nullptr);
    EXPECT_EQ(codecs.reader(CodecId(15)), nullptr);
  }
}

TEST(CodecSet, ReadsWhatAnotherLevelWrote) {
  const CodecSet high({CodecId::kZstd, 19});
  const CodecSet low({CodecId::kZstd, -5});
  const std::vector<std::byte> content(10000, std::byte{7});
  std::vector<std::byte> object(10000);
  object.resize(high.writer()->compress(content, object));
  std::vector<std::byte> back(10000);
  EXPECT_EQ(low.reader(CodecId::kZstd)->decompress(object, back), 10000u);
  EXPECT_EQ(back, content);
}

}  // namespace
}  // namespace ztmpfs
