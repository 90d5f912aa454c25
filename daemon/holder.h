#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/image.h"
#include "base/unique_fd.h"
#include "daemon/hang_watch.h"
#include "daemon/holder_socket.h"
#include "daemon/holder_start.h"
#include "daemon/mounter.h"
#include "daemon/name_lock.h"
#include "daemon/options.h"
#include "daemon/program.h"
#include "daemon/reload_wait.h"
#include "daemon/restart_policy.h"
#include "daemon/server_process.h"
#include "daemon/service_protocol.h"

namespace ztmpfs {

/// Keeps a mount alive: its image, its connection to the kernel and its name. Starts the server that does the work,
/// starts another one when that dies or hangs, and cleans up when the mount has ended. A process of its own, small,
/// without threads; on the way from a server's death to the next one's start it allocates nothing.
class Holder {
 public:
  /// Claims the name, makes an image, or takes over the one that is kept under this name, and mounts; or goes on with
  /// what the service manager has kept. `on_ready` is called once, when the mount is usable. Throws std::runtime_error
  /// with a sentence; nothing new is left behind then.
  Holder(const Options& options, std::function<void()> on_ready, ServiceProtocol service = {});
  /// Detaches the mount if it is still there, and frees the image, unless another holder is to go on with them.
  ~Holder();
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  /// Has the mount served until it has ended, and what is kept then until that is taken over or forgotten. Returns the
  /// exit code; throws std::runtime_error with a sentence if it never became usable.
  int run();

  /// Is called at each signal that is to end the mount, before it is unmounted; meanwhile the server is not looked
  /// after.
  void set_before_stop(std::function<void()> before_stop) { before_stop_ = std::move(before_stop); }

 private:
  using Milliseconds = std::chrono::milliseconds;

  /// That a server gets to finish the requests that were begun, before it is killed.
  static constexpr std::chrono::seconds kParkMax{5};
  /// Until a service manager that was too busy is told again.
  static constexpr Milliseconds kTellRetry{200};

  /// A server is to be replaced by one of a newer program.
  struct Upgrade {
    std::optional<HolderSocket::ClientId> client;  ///< whom to tell
    bool has_new_program = false;                  ///< the old one has left
  };
  /// The configuration is being read again.
  struct Reload {
    std::optional<HolderSocket::ClientId> client;  ///< whom to tell
    bool is_ordered = false;                       ///< the server has been told
  };
  /// What there is to hold.
  enum class State : uint8_t {
    kMounted,  ///< a mount; it has a server, or is about to get one
    kKept,     ///< the contents of a mount that has ended
    kFailed,   ///< what no server could take up
  };

  Holder(HolderStart start, std::function<void()> on_ready, ServiceProtocol&& service);
  ServerDescriptors make_descriptors(HolderStart start);
  void store_descriptors();
  void remove_traces();
  Milliseconds now() const { return clock_.monotonic(); }

  void start_server();
  void wait_for_event();
  int poll_timeout() const;
  void take_signals();
  void stop(const char* why);
  void leave();
  void read_report();
  void on_usable();
  void look_for_hang();
  void look_after_server();
  void beat();
  void on_server_ended(int status);
  ServerEnd end_of(int status) const;
  void note_restart(ServerEnd end);
  void on_mount_ended(int exit_code);
  void end_connection();
  void give_up();

  // What is asked of us (holder_requests.cc).
  void answer(const HolderSocket::Request& request);
  void hand_over(HolderSocket::ClientId client);
  void forget(HolderSocket::ClientId client);
  std::string_view why_not_replaceable() const;
  void begin_upgrade(HolderSocket::ClientId client);
  void go_on_with_upgrade(ServerEnd end);
  void end_upgrade(HolderVerdict verdict, std::string_view sentence);
  std::string_view start_upgrade();
  void start_check(HolderSocket::ClientId client);
  [[noreturn]] void become_checker(HolderSocket::ClientId client);
  std::string_view status_text(std::span<char> space) const;

  // Reading the configuration again (holder_reload.cc).
  void begin_reload(std::optional<HolderSocket::ClientId> client);
  void order_reload();
  void look_for_late_reload();
  void end_reload(HolderVerdict verdict, std::string_view sentence);
  void set_status(std::string_view text);
  void show_status(std::string_view text);
  void tell_manager();
  bool has_to_tell() const { return is_reloading_due_ || is_ready_due_ || is_status_due_; }
  void take_news(ServerNews news, std::string_view text);

  const Options options_;
  const std::function<void()> on_ready_;
  std::function<void()> before_stop_;
  ServiceProtocol service_;
  const bool is_image_adopted_;  // from the service manager
  const bool is_mount_adopted_;  // too
  const std::string runtime_dir_;
  const SystemClock clock_;
  const NameLock lock_;
  std::optional<HolderClient> predecessor_;  // has the contents too, as long as we may fail
  UniqueFd signals_;
  MountPoint mountpoint_;
  std::optional<ServerProcess> server_;
  std::optional<Program> program_;
  std::optional<SupervisionPage> supervision_;
  std::optional<HangWatch> hang_watch_;
  std::optional<HolderSocket> socket_;  // once the mount is usable
  RestartPolicy policy_;
  const std::string quoted_mountpoint_;  // as JSON has it
  const std::string already_mounted_;    // a sentence
  State state_ = State::kMounted;
  Milliseconds started_at_{0};                       // the last server
  std::optional<Milliseconds> restart_at_;           // there is no server now
  uint64_t oom_kills_seen_ = 0;                      // the kernel's count, when last looked at
  std::optional<HolderSocket::ClientId> successor_;  // the client that is taking over what is kept
  std::optional<Upgrade> upgrade_;
  std::optional<Reload> reload_;
  ReloadWait reload_wait_;
  std::array<char, 256> status_{};  // the last of the server, for the service manager
  size_t status_length_ = 0;
  // What the service manager has not taken yet.
  bool is_reloading_due_ = false;
  bool is_ready_due_ = false;
  bool is_status_due_ = false;
  pid_t checker_ = 0;                    // a process that audits what is kept
  bool is_on_terminal_;                  // whose end is ours
  Milliseconds beat_at_{0};              // for the service manager's watchdog
  std::optional<Milliseconds> park_by_;  // or the server is killed
  bool was_ever_ready_ = false;
  bool is_stopping_ = false;
  bool is_leaving_ = false;  // another holder will go on
  bool has_hung_ = false;    // we have killed the server
  bool is_handed_over_ = false;
  std::optional<int> exit_code_;
};

}  // namespace ztmpfs
