#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/image.h"
#include "base/unique_fd.h"
#include "daemon/hang_watch.h"
#include "daemon/mounter.h"
#include "daemon/name_lock.h"
#include "daemon/options.h"
#include "daemon/restart_policy.h"
#include "daemon/server_process.h"

namespace ztmpfs {

/// Keeps a mount alive: its image, its connection to the kernel and its name. Starts the server that does the work,
/// starts another one when that dies or hangs, and cleans up when the mount has ended. A process of its own, small,
/// without threads; on the way from a server's death to the next one's start it allocates nothing.
class Holder {
 public:
  /// Claims the name, makes an image and mounts. `on_ready` is called once, when the mount is usable. Throws
  /// std::runtime_error with a sentence; nothing is left behind then.
  Holder(const Options& options, std::function<void()> on_ready);
  /// Detaches the mount if it is still there, and frees the image.
  ~Holder();
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  /// Has the mount served until it has ended. Returns the exit code; throws std::runtime_error with a sentence if it
  /// never became usable.
  int run();

 private:
  using Milliseconds = std::chrono::milliseconds;

  ServerDescriptors make_descriptors();
  void remove_traces();
  Milliseconds now() const { return clock_.monotonic(); }
  void start_server();
  void wait_for_event();
  int poll_timeout() const;
  void take_signals();
  void stop(const char* why);
  void read_report();
  void look_for_hang();
  void on_server_ended(int status);
  ServerEnd end_of(int status) const;
  void note_restart(ServerEnd end);
  void give_up();
  bool is_connected() const { return mountpoint_.is_connected(); }

  const Options options_;
  const std::function<void()> on_ready_;
  const SystemClock clock_;
  const UniqueFd program_;  // this one: its file may be replaced by another version
  NameLock lock_;
  UniqueFd signals_;
  MountPoint mountpoint_;
  std::optional<ServerProcess> server_;
  std::optional<SupervisionPage> supervision_;
  std::optional<HangWatch> hang_watch_;
  RestartPolicy policy_;
  Milliseconds started_at_{0};              // the last server
  std::optional<Milliseconds> restart_at_;  // there is no server now
  uint64_t oom_kills_seen_ = 0;             // the kernel's count, when last looked at
  bool was_ever_ready_ = false;
  bool is_stopping_ = false;
  bool has_hung_ = false;      // we have killed the server
  bool has_given_up_ = false;  // no server can take up the image
  std::optional<int> exit_code_;
};

}  // namespace ztmpfs
