#include "compress/zstd_codec.h"

#include <zstd.h>

#include <memory>
#include <new>

namespace ztmpfs {

namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// A context keeps its working memory between calls, per thread that compresses. Measured with zstd 1.5.4: 0.2 MiB at
// level 1 and 0.9 MiB at 19 for blocks of 32 KiB, 0.5 and 2.8 MiB for blocks of 128 KiB; 0.1 MiB to decompress.
ZSTD_CCtx* thread_compressor() {
  static thread_local const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

ZSTD_DCtx* thread_decompressor() {
  static thread_local const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return context.get();
}

}  // namespace

size_t ZstdCodec::compress(std::span<const std::byte> source, std::span<std::byte> target) const {
  if (source.empty()) return 0;
  const size_t written =
      ZSTD_compressCCtx(thread_compressor(), target.data(), target.size(), source.data(), source.size(), level_);
  return ZSTD_isError(written) ? 0 : written;
}

Result<size_t> ZstdCodec::decompress(std::span<const std::byte> source, std::span<std::byte> target) const {
  if (source.empty()) return fail(std::errc::io_error);
  const size_t written =
      ZSTD_decompressDCtx(thread_decompressor(), target.data(), target.size(), source.data(), source.size());
  if (ZSTD_isError(written)) return fail(std::errc::io_error);
  return written;
}

int ZstdCodec::level_min() { return ZSTD_minCLevel(); }
int ZstdCodec::level_max() { return ZSTD_maxCLevel(); }

}  // namespace ztmpfs
