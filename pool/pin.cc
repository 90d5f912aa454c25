#include "pool/pin.h"

#include <utility>

namespace ztmpfs {

Pin::Pin(Pin&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})),
      pins_(std::exchange(other.pins_, nullptr)),
      copy_(std::move(other.copy_)) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this == &other) return *this;
  unpin();
  bytes_ = std::exchange(other.bytes_, {});
  pins_ = std::exchange(other.pins_, nullptr);
  copy_ = std::move(other.copy_);
  return *this;
}

}  // namespace ztmpfs
