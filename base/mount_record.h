#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ztmpfs {

/// What a mount is, for a holder that takes it over from one that died: kept in the image. Durable; written once per
/// mount, by its holder, while there is no server.
struct MountRecord {
  static constexpr size_t kTextMax = 12 * 1024 - sizeof(uint32_t);

  std::atomic<uint32_t> length;  ///< bytes of `text` that count, stored last; 0: not mounted
  std::array<char, kTextMax> text;
};

/// The record's text, as its parts.
struct MountDescription {
  std::string mountpoint;  ///< absolute
  std::string device;      ///< "MAJOR:MINOR"
  std::string options;     ///< for -o

  /// Parts separated by zero bytes. Throws std::length_error if they do not fit a record.
  std::string format() const;
  /// Throws std::invalid_argument if the text has not these parts.
  static MountDescription parse(std::string_view text);
};

}  // namespace ztmpfs
