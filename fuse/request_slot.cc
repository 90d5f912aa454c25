#include "fuse/request_slot.h"

#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

namespace ztmpfs {

namespace {

// FNV-1a (Fowler, Noll, Vo). The length is in it.
uint32_t checksum(std::span<const std::byte> bytes) {
  uint32_t sum = 2166136261U ^ uint32_t(bytes.size());
  for (const std::byte byte : bytes) sum = (sum ^ uint32_t(byte)) * 16777619U;
  return sum;
}

}  // namespace

void ReaderRecord::save_init(std::span<const std::byte> request) {
  request = request.first(std::min(request.size(), init.size()));
  kill_point();
  std::ranges::copy(request, init.begin());
  init_check = checksum(request);
  durable_store(init_length, uint32_t(request.size()));
}

std::span<const std::byte> ReaderRecord::saved_init() const {
  const uint32_t length = init_length.load(std::memory_order_acquire);
  if (length == 0) return {};
  if (length > init.size() || init_check != checksum(std::span(init).first(length)))
    throw std::runtime_error("the image is damaged: the request that began the connection is not the one that came");
  return std::span(init).first(length);
}

RequestSlot::RequestSlot(const Image& image, uint32_t slot)
    : region_(image.buffer(slot)), buffer_(region_.base(), region_.length()), request_(request_record(image, slot)) {
  if (buffer_.size() < 4 * kPageSize)
    throw std::runtime_error("the image's request buffers are too small for the smallest WRITE");
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
