#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ztmpfs {

/// What the transport knows of a request before libfuse sees it: linux/fuse.h of protocol 7.38, in numbers.
struct OpcodeInfo {
  std::string_view name;    ///< as in linux/fuse.h, without FUSE_
  bool served = false;      ///< false: answered with ENOSYS, whatever its argument says
  bool answered = true;     ///< false: the kernel expects no reply
  uint16_t fixed_size = 0;  ///< bytes of the argument structure that our libfuse reads behind the header
  uint8_t names = 0;        ///< NUL-terminated strings behind the structure
  bool is_xattr = false;    ///< served only on mounts with extended attributes
};

/// Opcodes are below this; the kernel may send higher ones that nobody knows here.
inline constexpr uint32_t kOpcodeCount = 64;

/// Null for an unknown opcode.
const OpcodeInfo* opcode_info(uint32_t opcode);

}  // namespace ztmpfs
