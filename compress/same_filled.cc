#include "compress/same_filled.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ztmpfs {

namespace {

constexpr size_t kWord = sizeof(uint64_t);

// fill() turns the word instead of walking its bytes; images are little-endian anyway.
static_assert(std::endian::native == std::endian::little);

}  // namespace

std::optional<uint64_t> same_filled(std::span<const std::byte> block) {
  if (block.size() < kWord) return std::nullopt;
  uint64_t word = 0;
  std::memcpy(&word, block.data(), kWord);
  // Bytes that all equal the byte one word before them repeat the first word, the short tail included. Most blocks
  // differ at their end or in their first bytes: look at the end first, as zram does.
  const size_t rest = block.size() - kWord;
  const size_t tail = std::min(rest, kWord);
  if (std::memcmp(block.data() + block.size() - tail, block.data() + rest - tail, tail) != 0) return std::nullopt;
  if (std::memcmp(block.data() + kWord, block.data(), rest) != 0) return std::nullopt;
  return word;
}

void fill(std::span<std::byte> target, uint64_t word, size_t offset) {
  // The pattern as it looks from `offset` on.
  const uint64_t turned = std::rotr(word, int(offset % kWord * 8));
  size_t at = 0;
  for (; at + kWord <= target.size(); at += kWord) std::memcpy(target.data() + at, &turned, kWord);
  if (at < target.size()) std::memcpy(target.data() + at, &turned, target.size() - at);
}

}  // namespace ztmpfs
