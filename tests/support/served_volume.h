#pragma once

#include <memory>
#include <span>
#include <thread>

#include "base/clock.h"
#include "fs/volume.h"
#include "fuse/fuse_server.h"
#include "tests/support/fake_caller.h"
#include "tests/support/fake_kernel.h"

namespace ztmpfs {

/// An image whose request buffers fit the FakeKernel's socket.
ImageGeometry fake_kernel_geometry();

/// A volume that takes 256 MiB at most, and no thread until it is started.
VolumeOptions small_volume();

/// Two readers that serve at the same time, whatever the requests, xattrs among them.
FuseServer::Options busy_readers(RequestHooks hooks = {});

/// A volume in this process, served to a FakeKernel. The server can be replaced while the volume stays, which is what
/// the image looks like to a successor.
class ServedVolume {
 public:
  explicit ServedVolume(const VolumeOptions& options = small_volume());
  ~ServedVolume();

  /// A new connection, with nobody at its other end yet.
  void connect();
  /// Starts a server for the connection. The first one is sent an INIT.
  void serve(FuseServer::Options options = busy_readers());
  /// connect() and serve().
  void start(FuseServer::Options options = busy_readers());
  /// Ends the connection; the server returns.
  void stop();
  /// Parks the server and starts a successor on the same connection.
  void replace(FuseServer::Options options = busy_readers());
  /// Ends the connection for good: the next one is sent an INIT again.
  void drop_connection();

  /// Leaves a request in a slot, as a server does that dies while it executes it.
  void leave_request(uint32_t slot, std::span<const std::byte> request);
  /// What a server records of the request in a slot.
  Operation operation(uint32_t slot);

  Volume& volume() { return volume_; }
  FuseServer& server() { return *server_; }
  FakeKernel& kernel() { return *kernel_; }
  FakeCaller caller() { return FakeCaller(*kernel_); }

 private:
  SystemClock clock_;
  Volume volume_;
  std::unique_ptr<FakeKernel> kernel_;
  std::unique_ptr<FuseServer> server_;
  std::thread thread_;
  FuseServer::End end_ = FuseServer::End::kConnectionEnded;
  bool is_begun_ = false;
};

}  // namespace ztmpfs
