#include "base/durable_text.h"

#include <algorithm>
#include <stdexcept>

#include "base/durable_store.h"

namespace ztmpfs {

void DurableText::store(std::string_view text) {
  if (text.size() > kLengthMax) throw std::length_error("a text is too long to be kept in the image");
  const uint32_t next = 1 - current_.load(std::memory_order_relaxed) % 2;
  Copy& copy = copies_[next];
  *std::copy(text.begin(), text.end(), copy.begin()) = '\0';
  durable_store(current_, next);
}

std::string DurableText::load() const {
  const Copy& copy = copies_[current_.load(std::memory_order_acquire) % 2];
  return {copy.begin(), std::find(copy.begin(), copy.end(), '\0')};
}

}  // namespace ztmpfs
