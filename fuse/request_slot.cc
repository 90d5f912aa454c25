#include "fuse/request_slot.h"

#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

#include "base/check.h"

namespace ztmpfs {

std::span<const std::byte> ReaderRecord::saved_init() const {
  // Up to `flags`, which every kernel sends (fuse_init_in).
  constexpr size_t kLeast = sizeof(fuse_in_header) + 4 * sizeof(uint32_t);
  const uint32_t length = init_length.load(std::memory_order_acquire);
  if (length == 0) return {};
  const auto* header = reinterpret_cast<const fuse_in_header*>(init.data());
  if (length < kLeast || length != std::min<size_t>(header->len, init.size()) || header->opcode != FUSE_INIT)
    throw std::runtime_error("the image is damaged: the request kept in it that began the connection is not FUSE_INIT");
  return std::span(init).first(length);
}

RequestSlot::RequestSlot(const Image& image, uint32_t slot)
    : region_(image.buffer(slot)), buffer_(region_.base(), region_.length()), request_(request_record(image, slot)) {
  ZTMPFS_CHECK(buffer_.size() >= 4 * kPageSize, "a request buffer is too small for the smallest WRITE");
}

bool RequestSlot::populate() const {
  if (!region_.populate(0, region_.length())) throw std::runtime_error("no memory for a request buffer");
  return ::mlock(region_.base(), region_.length()) == 0;
}

uint32_t RequestSlot::transfer() const {
  const auto* argument = &header() + 1;
  const auto length_at_least = [this](size_t size) { return header().len >= sizeof(fuse_in_header) + size; };
  const auto capped = [](uint64_t bytes) { return uint32_t(std::min<uint64_t>(bytes, UINT32_MAX)); };
  switch (header().opcode) {
    case FUSE_WRITE: return header().len;
    case FUSE_READ:
      return length_at_least(sizeof(fuse_read_in)) ? reinterpret_cast<const fuse_read_in*>(argument)->size : 0;
    case FUSE_FALLOCATE:
      if (!length_at_least(sizeof(fuse_fallocate_in))) return 0;
      return capped(reinterpret_cast<const fuse_fallocate_in*>(argument)->length);
    case FUSE_COPY_FILE_RANGE:
      if (!length_at_least(sizeof(fuse_copy_file_range_in))) return 0;
      return capped(reinterpret_cast<const fuse_copy_file_range_in*>(argument)->len);
    default: return 0;
  }
}

std::atomic_ref<uint64_t> RequestSlot::unique() const {
  return std::atomic_ref(reinterpret_cast<fuse_in_header*>(buffer_.data())->unique);
}

}  // namespace ztmpfs
