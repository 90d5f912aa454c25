#pragma once

#include "compress/codec.h"

namespace ztmpfs {

/// Zstandard frames (RFC 8878) without checksum: sealed objects carry one of their own.
class ZstdCodec final : public Codec {
 public:
  /// `level`: see parse_codec(). Decompression does not depend on it.
  explicit ZstdCodec(int level) : level_(level) {}

  CodecId id() const override { return CodecId::kZstd; }
  std::string_view name() const override { return "zstd"; }
  size_t compress(std::span<const std::byte> source, std::span<std::byte> target) const override;
  Result<size_t> decompress(std::span<const std::byte> source, std::span<std::byte> target) const override;

  static int level_min();
  static int level_max();

 private:
  const int level_;
};

}  // namespace ztmpfs
