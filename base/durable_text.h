#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ztmpfs {

/// A short text in the image that is whole at any instant, whoever dies: two copies, and one word that says which of
/// them counts. All zeros is the empty text. One thread stores at a time; a thread that loads beside it may read a text
/// that is being replaced, so threads of one process need a lock.
class DurableText {
 public:
  static constexpr size_t kLengthMax = 1023;

  /// Throws std::length_error, and changes nothing, if the text is longer than kLengthMax.
  void store(std::string_view text);
  /// Throws std::runtime_error if the text is not the one that was stored: the image is damaged.
  std::string load() const;

 private:
  using Copy = std::array<char, kLengthMax + 1>;

  static uint32_t checked(uint32_t copy, std::string_view text);

  std::atomic<uint32_t> current_ = 0;  // the copy that counts in bit 0, a checksum of its text in the others
  std::array<Copy, 2> copies_{};
};

}  // namespace ztmpfs
