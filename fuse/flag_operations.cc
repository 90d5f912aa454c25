#include "fuse/flag_operations.h"

#include <linux/fs.h>

#include <array>
#include <cstring>

#include "fuse/serve.h"

namespace ztmpfs {

namespace {

constexpr struct {
  uint32_t fs_flag;
  uint32_t xflag;
} kFlags[] = {
    {FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {FS_APPEND_FL, FS_XFLAG_APPEND},
    {FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {FS_NOATIME_FL, FS_XFLAG_NOATIME},
};

fsxattr to_fsxattr(uint32_t flags) {
  fsxattr attributes{};
  for (const auto& each : kFlags)
    if ((flags & each.fs_flag) != 0) attributes.fsx_xflags |= each.xflag;
  return attributes;
}

// Nothing but flags can be set, and only those there are.
Result<uint32_t> from_fsxattr(fsxattr attributes) {
  uint32_t flags = 0;
  for (const auto& each : kFlags) {
    if ((attributes.fsx_xflags & each.xflag) != 0) flags |= each.fs_flag;
    attributes.fsx_xflags &= ~each.xflag;
  }
  attributes.fsx_xflags &= ~uint32_t(FS_XFLAG_HASATTR);
  if (attributes.fsx_xflags != 0 || attributes.fsx_extsize != 0 || attributes.fsx_projid != 0 ||
      attributes.fsx_cowextsize != 0)
    return fail(std::errc::operation_not_supported);
  return flags;
}

// The kernel takes exactly as many bytes as it asked for.
template <class Value>
void reply_value(fuse_req_t request, const Value& value, size_t size) {
  std::array<std::byte, 64> bytes{};
  static_assert(sizeof(Value) <= bytes.size());
  if (size < sizeof(Value) || size > bytes.size()) return static_cast<void>(fuse_reply_err(request, EINVAL));
  std::memcpy(bytes.data(), &value, sizeof(Value));
  fuse_reply_ioctl(request, 0, bytes.data(), size);
}

void get_flags(fuse_req_t request, fuse_ino_t ino, unsigned command, size_t output_size) {
  serve(request, [&](Reader& reader) {
    const auto flags = reader.fs().inode_flags(ino);
    if (!flags) return static_cast<void>(fuse_reply_err(request, to_errno(flags.error())));
    if (command == FS_IOC_GETFLAGS) return reply_value(request, *flags, output_size);
    reply_value(request, to_fsxattr(*flags), output_size);
  });
}

template <class Value>
Result<Value> load(const void* input, size_t input_size) {
  if (input_size < sizeof(Value)) return fail(std::errc::invalid_argument);
  Value value;
  std::memcpy(&value, input, sizeof(Value));
  return value;
}

Result<uint32_t> flags_to_set(unsigned command, const void* input, size_t input_size) {
  if (command == FS_IOC_SETFLAGS) return load<uint32_t>(input, input_size);
  const auto attributes = load<fsxattr>(input, input_size);
  return attributes ? from_fsxattr(*attributes) : fail(attributes.error());
}

}  // namespace

void ioctl(fuse_req_t request, fuse_ino_t ino, unsigned command, void*, fuse_file_info*, unsigned, const void* input,
           size_t input_size, size_t output_size) {
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR: return get_flags(request, ino, command, output_size);
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSSETXATTR:
      return serve_change<void>(
          request,
          [&](FileSystem& fs, Operation& operation) -> Result<void> {
            const auto flags = flags_to_set(command, input, input_size);
            return flags ? fs.set_inode_flags(operation, ino, *flags) : fail(flags.error());
          },
          [&] {
            reader_of(request).note_attributes_changed(ino);  // ctime
            fuse_reply_ioctl(request, 0, nullptr, 0);
          });
    default: fuse_reply_err(request, ENOTTY);
  }
}

}  // namespace ztmpfs
