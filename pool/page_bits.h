#pragma once

#include <array>
#include <cstdint>

namespace ztmpfs {

/// One bit for each of the 256 pages of a chunk of the arena. A plain value: its owner locks it.
class PageBits {
 public:
  static constexpr uint32_t kPages = 256;

  /// Sets or clears the bits [first, first + count).
  void set(uint32_t first, uint32_t count);
  void clear(uint32_t first, uint32_t count);
  /// How many of the bits [first, first + count) are set.
  uint32_t count(uint32_t first = 0, uint32_t count = kPages) const;
  /// The lowest set bit at or above `from`; kPages if there is none.
  uint32_t next_set(uint32_t from) const;
  uint32_t next_clear(uint32_t from) const { return (~*this).next_set(from); }
  /// Where the lowest run of at least `length` set bits begins; kPages if there is none.
  uint32_t find_run(uint32_t length) const;
  /// One more than the highest set bit below `limit`; 0 if there is none.
  uint32_t end_of_last_run(uint32_t limit = kPages) const;
  /// The length of the longest run of set bits.
  uint32_t longest_run() const;

  PageBits operator~() const;
  PageBits operator&(const PageBits& other) const;
  bool operator==(const PageBits&) const = default;

 private:
  std::array<uint64_t, kPages / 64> words_{};
};

}  // namespace ztmpfs
