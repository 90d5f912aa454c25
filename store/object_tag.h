#pragma once

#include <xxhash.h>

#include <cstdint>
#include <span>

#include "compress/codec.h"

namespace ztmpfs {

// What the store keeps in the tag of a sealed object: the codec, and the checksum of the bytes as stored.

inline uint32_t object_checksum(std::span<const std::byte> object) {
  return uint32_t(XXH3_64bits(object.data(), object.size()));
}

inline uint64_t make_tag(CodecId codec, uint32_t checksum) { return uint64_t(codec) << 32 | checksum; }
inline CodecId tag_codec(uint64_t tag) { return CodecId(tag >> 32 & 0xf); }
inline uint32_t tag_checksum(uint64_t tag) { return uint32_t(tag); }

}  // namespace ztmpfs
