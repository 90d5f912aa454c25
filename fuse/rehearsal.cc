#include "fuse/rehearsal.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "fs/volume.h"
#include "fuse/reader.h"

namespace ztmpfs {

Negotiation rehearse_negotiation(std::span<const std::byte> init, const RequestFeatures& features,
                                 Bytes request_buffer_size) {
  constexpr Bytes kSize = 64 * kMiB;  // address space; next to nothing of it is used
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a socket (socketpair)");
  const UniqueFd kernel(ends[0]);
  const UniqueFd server(ends[1]);
  const SystemClock clock;
  VolumeOptions options;
  options.size = kSize;
  options.count_heaps = false;
  Volume volume(ImageFiles::create({.capacity = kSize, .request_slots = 1, .request_buffer_size = request_buffer_size}),
                options, clock);
  const RequestHooks hooks;
  Reader reader(server.get(), volume.image(), 0, volume.fs(), hooks, features);
  return reader.initialize(init);
}

}  // namespace ztmpfs
