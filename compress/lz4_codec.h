#pragma once

#include "compress/codec.h"

namespace ztmpfs {

/// LZ4 block format (lz4's doc/lz4_Block_format.md), at the library's default acceleration.
class Lz4Codec final : public Codec {
 public:
  CodecId id() const override { return CodecId::kLz4; }
  std::string_view name() const override { return "lz4"; }
  size_t compress(std::span<const std::byte> source, std::span<std::byte> target) const override;
  Result<size_t> decompress(std::span<const std::byte> source, std::span<std::byte> target) const override;
};

}  // namespace ztmpfs
