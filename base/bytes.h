#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ztmpfs {

/// A number of bytes; never pages, blocks or sectors.
using Bytes = std::uint64_t;

inline constexpr Bytes kKiB = 1024;
inline constexpr Bytes kMiB = 1024 * kKiB;
inline constexpr Bytes kGiB = 1024 * kMiB;

/// The unit in which the kernel gives and takes memory of a memfd.
inline constexpr Bytes kPageSize = 4096;

constexpr Bytes round_up(Bytes value, Bytes unit) { return (value + unit - 1) / unit * unit; }

/// Parses "4096", "64K", "1.5G" or "25%" (of `whole`). nullopt if malformed, negative or too large for 63 bits.
std::optional<Bytes> parse_bytes(std::string_view text, Bytes whole);

/// "1.5 GiB", for people.
std::string format_bytes(Bytes bytes);

}  // namespace ztmpfs
