#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/mounter.h"
#include "daemon/name_lock.h"
#include "daemon/options.h"
#include "daemon/server_descriptors.h"

namespace ztmpfs {

/// Keeps a mount alive: its image, its connection to the kernel and its name. Starts the server that does the work,
/// passes signals on to it, and cleans up when it has ended. A process of its own, small, without threads, and without
/// allocations once it serves: there is nothing in it that could go wrong.
class Holder {
 public:
  /// Claims the name, makes an image and mounts. `on_ready` is called once, when the mount is usable. Throws
  /// std::runtime_error with a sentence; nothing is left behind then.
  Holder(const Options& options, std::function<void()> on_ready);
  /// Detaches the mount if it is still there, and frees the image.
  ~Holder();
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  /// Runs the server until it has ended for good. Returns the exit code; throws std::runtime_error with a sentence when
  /// the server failed.
  int run();

 private:
  void start_server();
  [[noreturn]] void become_server();
  void forward_signal();
  /// True once the server has ended; `status` as waitpid(2) has it.
  bool server_has_ended(int& status);
  void read_ready_pipe();

  const Options options_;
  const std::function<void()> on_ready_;
  NameLock lock_;
  ServerDescriptors descriptors_;  // but for `ready` and `lock`, which differ per server
  UniqueFd holder_end_;            // closes with this process: the server's sign that we are gone
  UniqueFd signals_;
  UniqueFd ready_;  // read end
  MountPoint mountpoint_;
  std::vector<std::string> server_arguments_;
  std::string failure_;  // the server's sentence, as far as it has come; room is reserved
  bool is_ready_ = false;
  pid_t server_ = -1;
};

}  // namespace ztmpfs
