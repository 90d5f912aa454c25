#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"

namespace ztmpfs {

/// Which codec made a compressed object. Durable: the numbers never change meaning. Fits four bits.
enum class CodecId : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

/// Compresses blocks. Stateless to its callers: contexts are kept per thread and reused. Thread-safe.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual CodecId id() const = 0;
  virtual std::string_view name() const = 0;
  /// Compresses all of `source` into `target`; returns the bytes written, 0 if they would not fit.
  virtual size_t compress(std::span<const std::byte> source, std::span<std::byte> target) const = 0;
  /// Decompresses all of `source` into the front of `target`; returns the bytes written.
  /// io_error for input that is malformed or would not fit; writes nothing outside `target`.
  virtual Result<size_t> decompress(std::span<const std::byte> source, std::span<std::byte> target) const = 0;
};

}  // namespace ztmpfs
