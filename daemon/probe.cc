#include "daemon/probe.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "daemon/server.h"
#include "daemon/server_descriptors.h"
#include "fuse/rehearsal.h"
#include "fuse/request_slot.h"

namespace ztmpfs {

namespace {

// Of slot 0. Read, not mapped: nothing of the running server's must be touched. Its reader may write its counters
// meanwhile, which do not matter here; the rest stays as it is while the connection goes on.
std::unique_ptr<ReaderRecord> read_record(const Image& image) {
  auto record = std::make_unique<ReaderRecord>();
  const Bytes offset = image.geometry().request_buffer_size - kPageSize;
  const ssize_t length =
      ::pread(image.files().buffers.get(), static_cast<void*>(record.get()), sizeof(*record), off_t(offset));
  if (length != ssize_t(sizeof(*record)))
    throw std::system_error(length < 0 ? errno : EIO, std::generic_category(), "cannot read the request buffers");
  return record;
}

std::string negotiation_obstacle(const Image& image, const Options& options) {
  const auto record = read_record(image);
  const auto init = record->saved_init();
  // Without them nothing was agreed yet.
  if (init.empty() || record->has_negotiation == 0) return {};
  const RequestFeatures features{.xattr = options.xattr, .acl = options.acl};
  const Negotiation ours = rehearse_negotiation(init, features, image.geometry().request_buffer_size);
  const std::string difference = describe_difference(record->negotiation, ours);
  if (difference.empty()) return {};
  return "it would agree with the kernel to something else than what the mount has: " + difference;
}

}  // namespace

std::string find_takeover_obstacle(ImageFiles files, const std::vector<std::string>& arguments) {
  try {
    const Image image(std::move(files));
    const Options options = server_options(arguments, image.files());
    if (options.block_size != image.geometry().block_size)
      return "it takes the image for one with blocks of " + format_bytes(options.block_size) + ", not " +
             format_bytes(image.geometry().block_size);
    return negotiation_obstacle(image, options);
  } catch (const std::system_error&) {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  }
}

int probe_main(const std::vector<std::string>& arguments) {
  log_open(false, "probe");
  std::string sentence;
  try {
    sentence = find_takeover_obstacle(parse_image_argument(kProbeArgument, arguments.front()), arguments);
  } catch (const std::exception& error) {
    sentence = error.what();
  }
  if (sentence.empty()) return EXIT_SUCCESS;
  std::puts(sentence.c_str());
  return EXIT_FAILURE;
}

}  // namespace ztmpfs
