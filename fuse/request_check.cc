#include "fuse/request_check.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "fuse/opcodes.h"

namespace ztmpfs {

namespace {

template <class T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// What is behind the strings at the front of `bytes`; nothing if one has no end.
std::optional<std::span<const std::byte>> behind_names(std::span<const std::byte> bytes, unsigned count) {
  for (; count != 0; --count) {
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte(0));
    if (end == bytes.end()) return std::nullopt;
    bytes = bytes.subspan(size_t(end - bytes.begin()) + 1);
  }
  return bytes;
}

// `argument` holds at least the opcode's structure, `rest` is what comes behind it and the names.
bool counts_fit(uint32_t opcode, std::span<const std::byte> argument, std::span<const std::byte> rest,
                size_t capacity) {
  switch (opcode) {
    case FUSE_WRITE: return load<fuse_write_in>(argument).size <= rest.size();
    case FUSE_IOCTL: return load<fuse_ioctl_in>(argument).in_size <= rest.size();
    case FUSE_SETXATTR: return load<uint32_t>(argument) <= rest.size();
    case FUSE_BATCH_FORGET: return load<fuse_batch_forget_in>(argument).count <= rest.size() / sizeof(fuse_forget_one);
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR: return load<fuse_getxattr_in>(argument).size <= capacity;
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: return load<fuse_read_in>(argument).size <= capacity;
    default: return true;
  }
}

}  // namespace

RequestVerdict check_request(std::span<const std::byte> request, size_t capacity, const RequestFeatures& features) {
  if (request.size() < sizeof(fuse_in_header)) return RequestVerdict::kDrop;
  const auto header = load<fuse_in_header>(request);
  // A reply to 0 would be taken for a notification.
  if (header.unique == 0) return RequestVerdict::kDrop;
  const OpcodeInfo* info = opcode_info(header.opcode);
  if (info == nullptr) return RequestVerdict::kUnsupported;
  if (info->is_xattr && !features.xattr) return RequestVerdict::kUnsupported;
  if (!info->served) return info->answered ? RequestVerdict::kUnsupported : RequestVerdict::kDrop;
  const auto argument = request.subspan(sizeof(fuse_in_header));
  const bool is_long = header.opcode == FUSE_SETXATTR && features.long_setxattr;
  const size_t fixed_size = is_long ? sizeof(fuse_setxattr_in) : info->fixed_size;
  if (header.len == request.size() && argument.size() >= fixed_size) {
    const auto rest = behind_names(argument.subspan(fixed_size), info->names);
    if (rest && counts_fit(header.opcode, argument, *rest, capacity)) return RequestVerdict::kServe;
  }
  return info->answered ? RequestVerdict::kMalformed : RequestVerdict::kDrop;
}

}  // namespace ztmpfs
