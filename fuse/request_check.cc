#include "fuse/request_check.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>

#include "fuse/opcodes.h"

namespace ztmpfs {

namespace {

template <class T>
T load(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// Strings are taken off the front of `bytes`.
bool has_names(std::span<const std::byte> bytes, unsigned count) {
  for (; count != 0; --count) {
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte(0));
    if (end == bytes.end()) return false;
    bytes = bytes.subspan(size_t(end - bytes.begin()) + 1);
  }
  return true;
}

// `argument` holds at least the opcode's structure.
bool counts_fit(uint32_t opcode, std::span<const std::byte> argument, size_t capacity) {
  switch (opcode) {
    case FUSE_WRITE: return load<fuse_write_in>(argument).size <= argument.size() - sizeof(fuse_write_in);
    case FUSE_BATCH_FORGET:
      return load<fuse_batch_forget_in>(argument).count <=
             (argument.size() - sizeof(fuse_batch_forget_in)) / sizeof(fuse_forget_one);
    case FUSE_READ:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS: return load<fuse_read_in>(argument).size <= capacity;
    default: return true;
  }
}

}  // namespace

RequestVerdict check_request(std::span<const std::byte> request, size_t capacity) {
  if (request.size() < sizeof(fuse_in_header)) return RequestVerdict::kDrop;
  const auto header = load<fuse_in_header>(request);
  // A reply to 0 would be taken for a notification.
  if (header.unique == 0) return RequestVerdict::kDrop;
  const OpcodeInfo* info = opcode_info(header.opcode);
  if (info == nullptr) return RequestVerdict::kUnsupported;
  if (!info->served) return info->answered ? RequestVerdict::kUnsupported : RequestVerdict::kDrop;
  const auto argument = request.subspan(sizeof(fuse_in_header));
  if (header.len == request.size() && argument.size() >= info->fixed_size &&
      has_names(argument.subspan(info->fixed_size), info->names) && counts_fit(header.opcode, argument, capacity))
    return RequestVerdict::kServe;
  return info->answered ? RequestVerdict::kMalformed : RequestVerdict::kDrop;
}

}  // namespace ztmpfs
