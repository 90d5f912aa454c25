#pragma once

#include <cstddef>
#include <span>

namespace ztmpfs {

/// What a thread's scratch memory is used for; each use has memory of its own.
enum class ScratchUse { kDecompressed, kContents, kCompressed, kCopied, kCount };

/// At least `size` bytes that belong to this thread until it asks again for the same use.
std::span<std::byte> scratch(ScratchUse use, size_t size);

}  // namespace ztmpfs
