#include "fuse/range_operations.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "fuse/serve.h"

namespace ztmpfs {

namespace {

// Of one request: a caller that is killed meanwhile waits for it. The reply has 32 bits for the length.
constexpr size_t kCopyMax = kGiB;

static_assert(FileSystem::kKeepSize == FALLOC_FL_KEEP_SIZE && FileSystem::kPunchHole == FALLOC_FL_PUNCH_HOLE &&
              FileSystem::kZeroRange == FALLOC_FL_ZERO_RANGE);

void fallocate(fuse_req_t request, fuse_ino_t ino, int flags, off_t offset, off_t length, fuse_file_info*) {
  serve_done(request, [&](FileSystem& fs, Operation& operation) {
    return fs.fallocate(operation, ino, uint32_t(flags), uint64_t(offset), uint64_t(length));
  });
}

void lseek(fuse_req_t request, fuse_ino_t ino, off_t offset, int whence, fuse_file_info*) {
  serve(request, [&](Reader& reader) {
    Result<uint64_t> found = fail(std::errc::invalid_argument);
    if (whence == SEEK_DATA) found = reader.fs().seek_data(ino, uint64_t(offset));
    if (whence == SEEK_HOLE) found = reader.fs().seek_hole(ino, uint64_t(offset));
    found ? fuse_reply_lseek(request, off_t(*found)) : fuse_reply_err(request, to_errno(found.error()));
  });
}

void copy_file_range(fuse_req_t request, fuse_ino_t from, off_t from_offset, fuse_file_info*, fuse_ino_t to,
                     off_t to_offset, fuse_file_info*, size_t length, int) {
  serve_change<size_t>(
      request,
      [&](FileSystem& fs, Operation& operation) {
        return fs.copy_file_range(operation, {.from_ino = from,
                                              .from_offset = uint64_t(from_offset),
                                              .to_ino = to,
                                              .to_offset = uint64_t(to_offset),
                                              .length = std::min(length, kCopyMax)});
      },
      [&](size_t count) { fuse_reply_write(request, count); });
}

}  // namespace

void add_range_operations(fuse_lowlevel_ops& operations) {
  operations.fallocate = &fallocate;
  operations.lseek = &lseek;
  operations.copy_file_range = &copy_file_range;
}

}  // namespace ztmpfs
