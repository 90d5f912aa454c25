#include "pool/page_bits.h"

#include <algorithm>
#include <bit>

namespace ztmpfs {

namespace {

// The bits of [first, first + count) that fall into the word which begins at bit `base`.
uint64_t mask(uint32_t base, uint32_t first, uint32_t count) {
  const uint32_t begin = std::clamp(first, base, base + 64) - base;
  const uint32_t end = std::clamp(first + count, base, base + 64) - base;
  if (begin == end) return 0;
  return (end == 64 ? ~0ULL : (1ULL << end) - 1) & ~((1ULL << begin) - 1);
}

}  // namespace

void PageBits::set(uint32_t first, uint32_t count) {
  for (uint32_t word = 0; word < words_.size(); ++word) words_[word] |= mask(word * 64, first, count);
}

void PageBits::clear(uint32_t first, uint32_t count) {
  for (uint32_t word = 0; word < words_.size(); ++word) words_[word] &= ~mask(word * 64, first, count);
}

uint32_t PageBits::count(uint32_t first, uint32_t count) const {
  int total = 0;
  for (uint32_t word = 0; word < words_.size(); ++word)
    total += std::popcount(words_[word] & mask(word * 64, first, count));
  return uint32_t(total);
}

uint32_t PageBits::next_set(uint32_t from) const {
  for (uint32_t word = from / 64; word < words_.size(); ++word) {
    const uint64_t bits = words_[word] & mask(word * 64, from, kPages - from);
    if (bits != 0) return word * 64 + uint32_t(std::countr_zero(bits));
  }
  return kPages;
}

uint32_t PageBits::find_run(uint32_t length) const {
  for (uint32_t begin = next_set(0); begin < kPages;) {
    const uint32_t end = next_clear(begin);
    if (end - begin >= length) return begin;
    begin = next_set(end);
  }
  return kPages;
}

uint32_t PageBits::end_of_last_run(uint32_t limit) const {
  for (auto word = uint32_t(words_.size()); word-- > 0;) {
    const uint64_t bits = words_[word] & mask(word * 64, 0, limit);
    if (bits != 0) return word * 64 + uint32_t(std::bit_width(bits));
  }
  return 0;
}

uint32_t PageBits::longest_run() const {
  uint32_t longest = 0;
  for (uint32_t begin = next_set(0); begin < kPages;) {
    const uint32_t end = next_clear(begin);
    longest = std::max(longest, end - begin);
    begin = next_set(end);
  }
  return longest;
}

PageBits PageBits::operator~() const {
  PageBits result;
  std::ranges::transform(words_, result.words_.begin(), [](uint64_t word) { return ~word; });
  return result;
}

PageBits PageBits::operator&(const PageBits& other) const {
  PageBits result;
  std::ranges::transform(words_, other.words_, result.words_.begin(), [](uint64_t a, uint64_t b) { return a & b; });
  return result;
}

}  // namespace ztmpfs
