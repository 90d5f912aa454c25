#pragma once

#include <cstddef>
#include <span>

namespace ztmpfs {

/// What is to be done with bytes that were read as a request.
enum class RequestVerdict {
  kServe,        ///< well-formed: libfuse may decode it
  kUnsupported,  ///< ENOSYS
  kMalformed,    ///< EIO
  kDrop,         ///< nothing that could be answered
};

/// What a connection has beyond what every one has: the options of the mount and FUSE_INIT decide.
struct RequestFeatures {
  bool xattr = false;          ///< extended attributes
  bool acl = false;            ///< POSIX ACLs, which are extended attributes that the kernel understands
  bool long_setxattr = false;  ///< SETXATTR carries flags of its own (FUSE_SETXATTR_EXT)
};

/// Checks a request before libfuse's decoder sees it, which trusts the kernel's lengths and strings: the header's
/// length, the argument structure of the opcode, the terminator of each name, and the counts that speak of bytes behind
/// it. `capacity` is the length of the buffer for replies; a READ of more is malformed. Reads nothing behind `request`.
RequestVerdict check_request(std::span<const std::byte> request, size_t capacity, const RequestFeatures& features = {});

}  // namespace ztmpfs
