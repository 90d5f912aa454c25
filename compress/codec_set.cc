#include "compress/codec_set.h"

#include <charconv>
#include <stdexcept>
#include <string>

#include "compress/lz4_codec.h"
#include "compress/zstd_codec.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kZstdPrefix = "zstd:";

int parse_level(std::string_view text) {
  const std::string_view digits = text.substr(kZstdPrefix.size());
  int level = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
  const bool is_number = error == std::errc{} && end == digits.data() + digits.size();
  // Level 0 is zstd's word for "the default", which here is 1.
  if (!is_number || level == 0 || level < ZstdCodec::level_min() || level > ZstdCodec::level_max())
    throw std::invalid_argument("codec '" + std::string(text) + "': the level must be a number from " +
                                std::to_string(ZstdCodec::level_min()) + " to " +
                                std::to_string(ZstdCodec::level_max()) + ", without 0");
  return level;
}

}  // namespace

CodecChoice parse_codec(std::string_view text) {
  if (text == "none") return {CodecId::kNone};
  if (text == "lz4") return {CodecId::kLz4};
  if (text == "zstd") return {CodecId::kZstd};
  if (text.starts_with(kZstdPrefix)) return {CodecId::kZstd, parse_level(text)};
  throw std::invalid_argument("codec '" + std::string(text) + "' is unknown: choose lz4, zstd, zstd:LEVEL or none");
}

CodecSet::CodecSet(CodecChoice choice)
    : lz4_(std::make_unique<Lz4Codec>()),
      zstd_(std::make_unique<ZstdCodec>(choice.level)),
      writer_(reader(choice.id)) {}

CodecSet::~CodecSet() = default;

const Codec* CodecSet::reader(CodecId id) const {
  switch (id) {
    case CodecId::kNone: return nullptr;
    case CodecId::kLz4: return lz4_.get();
    case CodecId::kZstd: return zstd_.get();
  }
  return nullptr;  // a number from a damaged image
}

}  // namespace ztmpfs
