// Handlers of extended attributes: SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR.
#include <linux/fuse.h>

#include <string_view>

#include "fuse/operations.h"
#include "fuse/serve.h"

namespace ztmpfs {

namespace {

// Decoded where the request lies: libfuse does not hand on the flags of the longer argument, and versions differ in
// where they look for the name. check_request() has seen that it is all there.
XattrAssignment assignment_of(const Reader& reader) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&reader.slot().header() + 1);
  const auto* argument = &reader.slot().argument<fuse_setxattr_in>();
  const bool is_long = reader.features().long_setxattr;
  bytes += is_long ? sizeof(fuse_setxattr_in) : FUSE_COMPAT_SETXATTR_IN_SIZE;
  const std::string_view name(reinterpret_cast<const char*>(bytes));
  XattrAssignment what{.name = name, .value = {bytes + name.size() + 1, argument->size}, .flags = argument->flags};
  if (is_long) what.kills_sgid = (argument->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) != 0;
  return what;
}

void setxattr(fuse_req_t request, fuse_ino_t ino, const char*, const char*, size_t, int) {
  const XattrAssignment what = assignment_of(reader_of(request));
  serve_done(request, [&](FileSystem& fs, Operation& operation) { return fs.set_xattr(operation, ino, what); });
}

void removexattr(fuse_req_t request, fuse_ino_t ino, const char* name) {
  serve_done(request, [&](FileSystem& fs, Operation& operation) { return fs.remove_xattr(operation, ino, name); });
}

// A size of 0 asks for the length only. copy(reader, space) puts the answer into the space and tells its length.
template <class Copy>
void reply_sized(fuse_req_t request, size_t size, Copy&& copy) {
  serve(request, [&](Reader& reader) {
    const auto space = reader.slot().reply_space().first(size);
    const Result<size_t> length = copy(reader, space);
    if (!length) {
      fuse_reply_err(request, to_errno(length.error()));
    } else if (size == 0) {
      fuse_reply_xattr(request, *length);
    } else {
      fuse_reply_buf(request, reinterpret_cast<const char*>(space.data()), *length);
    }
  });
}

void getxattr(fuse_req_t request, fuse_ino_t ino, const char* name, size_t size) {
  reply_sized(request, size,
              [&](Reader& reader, std::span<std::byte> space) { return reader.fs().get_xattr(ino, name, space); });
}

void listxattr(fuse_req_t request, fuse_ino_t ino, size_t size) {
  reply_sized(request, size, [&](Reader& reader, std::span<std::byte> space) {
    return reader.fs().list_xattrs(ino, reader.operation().caller(), space);
  });
}

}  // namespace

void add_xattr_operations(fuse_lowlevel_ops& operations) {
  operations.setxattr = &setxattr;
  operations.getxattr = &getxattr;
  operations.listxattr = &listxattr;
  operations.removexattr = &removexattr;
}

}  // namespace ztmpfs
