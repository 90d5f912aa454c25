#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace ztmpfs {

/// Keeps an object's bytes where they are: compaction skips the span while a pin on it exists.
/// Lives in process memory only. Movable, not copyable. The bytes may be written by whoever may write the object;
/// of an object in two pieces (see Pool::allocate_packed) they are a copy that the pin owns, to be read only.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin() { unpin(); }

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class Pool;
  // `pins` has been raised already; nullptr for bytes that never move.
  Pin(std::span<std::byte> bytes, std::atomic<uint32_t>* pins) : bytes_(bytes), pins_(pins) {}
  Pin(std::unique_ptr<std::byte[]> copy, size_t size) : bytes_(copy.get(), size), copy_(std::move(copy)) {}

  void unpin() {
    if (pins_ != nullptr) pins_->fetch_sub(1, std::memory_order_release);
  }

  std::span<std::byte> bytes_;
  std::atomic<uint32_t>* pins_ = nullptr;
  std::unique_ptr<std::byte[]> copy_;
};

}  // namespace ztmpfs
