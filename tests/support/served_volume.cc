#include "tests/support/served_volume.h"

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "base/log.h"
#include "fuse/connection_end.h"

namespace ztmpfs {

ImageGeometry fake_kernel_geometry() {
  ImageGeometry geometry;
  geometry.request_slots = 2;
  geometry.request_buffer_size = FakeKernel::kBufferSize;
  return geometry;
}

FuseServer::Options busy_readers(RequestHooks hooks) {
  return {.readers = 2,
          .long_transfer = 0,
          .attempts_max = 3,
          .on_ready = {},
          .hooks = std::move(hooks),
          .features = {.xattr = true}};
}

VolumeOptions small_volume() {
  VolumeOptions options;
  options.size = 256 * kMiB;
  options.count_heaps = false;
  return options;
}

ServedVolume::ServedVolume(const VolumeOptions& options)
    : volume_(ImageFiles::create(fake_kernel_geometry()), options, clock_) {
  // Before there are threads, as log.h demands.
  [[maybe_unused]] static const bool is_open = (log_open(false, "test"), true);
}

ServedVolume::~ServedVolume() { stop(); }

void ServedVolume::connect() {
  kernel_ = std::make_unique<FakeKernel>();
  kernel_->start();
}

void ServedVolume::serve(FuseServer::Options options) {
  server_ = std::make_unique<FuseServer>(kernel_->server_fd(), volume_, std::move(options));
  thread_ = std::thread([this] { end_ = server_->run(); });
  if (!is_begun_) kernel_->init();
  is_begun_ = true;
}

void ServedVolume::start(FuseServer::Options options) {
  connect();
  serve(std::move(options));
}

void ServedVolume::stop() {
  if (kernel_) kernel_->disconnect();
  if (thread_.joinable()) thread_.join();
  server_.reset();
}

void ServedVolume::replace(FuseServer::Options options) {
  server_->park();
  thread_.join();
  ZTMPFS_CHECK(end_ == FuseServer::End::kParked, "the connection has ended");
  server_.reset();
  serve(std::move(options));
}

void ServedVolume::drop_connection() {
  stop();
  ztmpfs::drop_connection(volume_);
  is_begun_ = false;
}

void ServedVolume::leave_request(uint32_t slot, std::span<const std::byte> request) {
  std::ranges::copy(request, volume_.image().buffer(slot).base());
}

Operation ServedVolume::operation(uint32_t slot) {
  return Operation(volume_.image(), request_record(volume_.image(), slot), {.uid = 1000, .gid = 1000});
}

}  // namespace ztmpfs
