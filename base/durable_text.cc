#include "base/durable_text.h"

#include <xxhash.h>

#include <algorithm>
#include <stdexcept>

#include "base/durable_store.h"

namespace ztmpfs {

void DurableText::store(std::string_view text) {
  if (text.size() > kLengthMax) throw std::length_error("a text is too long to be kept in the image");
  const uint32_t next = 1 - current_.load(std::memory_order_relaxed) % 2;
  Copy& copy = copies_[next];
  *std::copy(text.begin(), text.end(), copy.begin()) = '\0';
  durable_store(current_, checked(next, text));
}

// What says that a copy with this text counts; 0 for the first copy without a text, which nobody has stored.
uint32_t DurableText::checked(uint32_t copy, std::string_view text) {
  const uint64_t sum = text.empty() ? 0 : XXH3_64bits(text.data(), text.size());
  return (uint32_t(sum) & ~1U) | copy;
}

std::string DurableText::load() const {
  const uint32_t current = current_.load(std::memory_order_acquire);
  const Copy& copy = copies_[current % 2];
  std::string text(copy.begin(), std::find(copy.begin(), copy.end(), '\0'));
  if (checked(current % 2, text) != current)
    throw std::runtime_error("the image is damaged: the options that were changed while mounted");
  return text;
}

}  // namespace ztmpfs
