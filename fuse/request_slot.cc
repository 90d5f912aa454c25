#include "fuse/request_slot.h"

#include <sys/mman.h>

#include <stdexcept>

#include "base/check.h"

namespace ztmpfs {

RequestSlot::RequestSlot(const Image& image, uint32_t slot)
    : region_(image.buffer(slot)), buffer_(region_.base(), region_.length()), request_(request_record(image, slot)) {
  ZTMPFS_CHECK(buffer_.size() >= 4 * kPageSize, "a request buffer is too small for the smallest WRITE");
}

void RequestSlot::populate() const {
  if (!region_.populate(0, region_.length())) throw std::runtime_error("no memory for a request buffer");
  // Without the right to lock memory, only swapping can still take the pages away.
  static_cast<void>(::mlock(region_.base(), region_.length()));
}

uint32_t RequestSlot::transfer() const {
  constexpr uint32_t kReadLength = sizeof(fuse_in_header) + sizeof(fuse_read_in);
  if (header().opcode == FUSE_WRITE) return header().len;
  if (header().opcode != FUSE_READ || header().len < kReadLength) return 0;
  return reinterpret_cast<const fuse_read_in*>(&header() + 1)->size;
}

std::atomic_ref<uint64_t> RequestSlot::unique() const {
  return std::atomic_ref(reinterpret_cast<fuse_in_header*>(buffer_.data())->unique);
}

}  // namespace ztmpfs
