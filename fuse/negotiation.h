#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ztmpfs {

/// What the kernel was answered when the connection began, and goes by until it ends: whoever serves the connection
/// must keep to it. Durable.
struct Negotiation {
  static constexpr size_t kReplyMax = 128;

  uint32_t reply_length = 0;
  uint32_t has_xattr = 0;  ///< the reply does not tell, but the kernel remembers an ENOSYS
  alignas(
      8) std::array<std::byte, kReplyMax> reply{};  ///< to FUSE_INIT, without its header (fuse_init_out), then zeros

  /// Takes down a reply to FUSE_INIT; of a longer one only the front.
  void set_reply(std::span<const std::byte> body);
};

/// Names the fields in which `ours` differs from what was `kept`: "max_write (1048576 then, 131072 now), flags (...)",
/// as linux/fuse.h has them. Empty if there is no difference.
std::string describe_difference(const Negotiation& kept, const Negotiation& ours);

}  // namespace ztmpfs
