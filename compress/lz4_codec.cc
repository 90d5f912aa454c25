#include "compress/lz4_codec.h"

#include <lz4.h>

#include <algorithm>
#include <limits>

namespace ztmpfs {

namespace {

// LZ4 counts in int.
constexpr size_t kTargetMax = std::numeric_limits<int>::max();

const char* chars(std::span<const std::byte> bytes) { return reinterpret_cast<const char*>(bytes.data()); }
char* chars(std::span<std::byte> bytes) { return reinterpret_cast<char*>(bytes.data()); }

// The hash table of the compressor (16 KiB). LZ4_compress_fast_extState() clears it itself.
LZ4_stream_t& thread_state() {
  static thread_local LZ4_stream_t state;
  return state;
}

}  // namespace

size_t Lz4Codec::compress(std::span<const std::byte> source, std::span<std::byte> target) const {
  if (source.empty() || source.size() > LZ4_MAX_INPUT_SIZE) return 0;
  const int written = LZ4_compress_fast_extState(&thread_state(), chars(source), chars(target), int(source.size()),
                                                 int(std::min(target.size(), kTargetMax)), /*acceleration=*/1);
  return written > 0 ? size_t(written) : 0;
}

Result<size_t> Lz4Codec::decompress(std::span<const std::byte> source, std::span<std::byte> target) const {
  if (source.empty() || source.size() > kTargetMax) return fail(std::errc::io_error);
  const int written =
      LZ4_decompress_safe(chars(source), chars(target), int(source.size()), int(std::min(target.size(), kTargetMax)));
  if (written < 0) return fail(std::errc::io_error);
  return size_t(written);
}

}  // namespace ztmpfs
