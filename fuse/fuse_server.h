#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "fs/volume.h"
#include "fuse/awake_cpus.h"
#include "fuse/latency_histogram.h"
#include "fuse/negotiation.h"
#include "fuse/notifier.h"
#include "fuse/reader.h"
#include "fuse/request_slot.h"

namespace ztmpfs {

/// Serves a volume over a FUSE connection, and takes up that of a server that died (DESIGN: "Crash survival").
class FuseServer {
 public:
  struct Options {
    uint32_t readers = 2;  ///< threads; at most the image's request slots
    /// Another reader waits for the next request while one moves so many bytes or more: waking a thread takes up to
    /// 100 us, copying or decompressing a block of 32 KiB 2 to 30 us. 0: always.
    uint32_t long_transfer = 128 * kKiB;
    /// A request that was left over by so many servers is answered with EIO, not executed once more.
    uint32_t attempts_max = 3;
    std::function<void()> on_ready;  ///< once the mount is usable: INIT was answered, or replayed and all finished
    RequestHooks hooks;
    RequestFeatures features = {};  ///< what the mount is to have
  };

  /// An image whose connection is over (SupervisionRecord) is made ready for this one first: see connection_end.h.
  /// Borrows the connection (/dev/fuse, or a socket that keeps message boundaries) and the volume, both of which
  /// outlive it. Throws std::runtime_error if libfuse refuses or memory for the request buffers lacks, and
  /// std::invalid_argument if there are not as many slots as readers.
  FuseServer(int fd, Volume& volume, Options options);
  ~FuseServer();
  FuseServer(const FuseServer&) = delete;
  FuseServer& operator=(const FuseServer&) = delete;

  enum class End { kConnectionEnded, kParked };

  /// Takes up the connection, then serves until it ends or park() is called. Call once; throws std::runtime_error if
  /// the kernel's protocol does not fit, or a former server has agreed with the kernel to something else than this one
  /// would. SIGPIPE must be ignored or blocked if the connection is a socket.
  End run();

  /// Has run() return although the connection goes on, for a successor to take it up: what was read is executed and
  /// answered first, what was not stays the kernel's. Any thread, any time, any number of times. Returns once no more
  /// requests are read: within milliseconds, also while a request takes longer; run() waits for that.
  /// Wakes with SIGUSR1, whose disposition run() has set.
  void park();

  /// Any thread, any time. See request_counts.h.
  std::map<std::string, uint64_t> request_counts() const;
  uint64_t forgets() const;
  /// By opcode, from the moment a request was read until its reply is handed to the kernel, or, without a reply, until
  /// it is executed. Of this server's requests alone. Any thread, any time.
  std::map<std::string, LatencyHistogram> latencies() const;

  /// The inode's attributes changed without a request: for Volume::set_on_settled(). Any thread.
  void attributes_changed(uint64_t ino) { notifier_.attributes_changed(ino); }

 private:
  bool attach();
  bool await_init();
  void adopt_init(std::span<const std::byte> init, bool is_new);
  void keep_to_negotiation(const Negotiation& ours);
  void finish_requests_left();
  void ask_to_resend() const;
  void serve();
  void serve_with(Reader& reader);

  const int fd_;
  Volume& volume_;
  const Options options_;
  std::vector<RequestSlot> slots_;  // all of the image's, also those without a thread
  std::vector<std::unique_ptr<Reader>> readers_;
  Mutex waiting_mutex_;  // held by the reader that waits for the next request
  Notifier notifier_;
  AwakeCpus awake_cpus_;
};

}  // namespace ztmpfs
