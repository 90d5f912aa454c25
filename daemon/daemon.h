#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "daemon/control_routes.h"
#include "daemon/control_server.h"
#include "daemon/housekeeping.h"
#include "daemon/live_options.h"
#include "daemon/memory_watch.h"
#include "daemon/mounter.h"
#include "daemon/options.h"
#include "daemon/psi_watcher.h"
#include "daemon/reclaim_thread.h"
#include "daemon/server_descriptors.h"
#include "fs/volume.h"
#include "fuse/fuse_server.h"

namespace ztmpfs {

/// The server process, put together: a volume, the FUSE connection served by threads of its own, the thread that
/// reclaims memory, and on the main thread all that is not data: signals, timers, memory pressure, the control socket,
/// and the end of the mount.
class Daemon {
 public:
  /// Attaches to the image. Throws std::runtime_error with a sentence.
  Daemon(const Options& options, ServerDescriptors descriptors);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Serves until the mount has ended, or the holder orders otherwise, and tells the holder when it is usable. A holder
  /// that dies ends the mount. The exit code (server_descriptors.h). Throws std::runtime_error.
  int run();

 private:
  ControlSource control_source();
  void serve_connection();
  void on_usable();
  void on_connection_ended(FuseServer::End end, const std::string& failure);
  void leave_contents();
  void remove_traces() const;
  void wait_for_signal();
  void wait_for_orders();
  void obey(ServerOrder order);
  void reload();
  void tell_status();
  void tell_outcomes();
  bool tell_news(ServerNews news, std::string_view text) const;
  void on_holder_died();
  void park(const std::string& why);
  void watch_pressure(const std::string& psi);
  void keep_house();
  void show_alive();
  void recover_memory();
  uint64_t requests_answered() const;
  /// Unmounts; lazily if it is busy, which leaves the last users some time.
  void stop(const std::string& why);
  /// Ends the connection although it is in use.
  void give_up();

  const Options options_;
  const MountPoint mountpoint_;
  const pid_t holder_pid_;
  ServerDescriptors descriptors_;
  SystemClock clock_;
  Volume volume_;
  std::optional<FuseServer> fuse_;
  Housekeeping housekeeping_;
  const MemoryWatch memory_watch_;
  ReclaimThread reclaim_thread_;

  boost::asio::io_context io_{1};
  boost::asio::signal_set signals_;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer patience_;
  boost::asio::steady_timer status_tick_;
  boost::asio::steady_timer outcome_tick_;
  boost::asio::posix::stream_descriptor orders_;  // from the holder
  LiveOptions live_options_;                      // used by the control server's thread for what is slow
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<PsiWatcher> psi_;
  std::jthread connection_;
  std::string failure_;
  std::string status_;                                       // as last told
  std::deque<std::pair<ServerNews, std::string>> outcomes_;  // of reloads, which the holder waits for
  bool is_usable_ = false;
  bool tells_status_ = false;  // to the holder, whose service manager shows it
  bool is_stopping_ = false;
  bool is_connection_ended_ = false;
  bool is_cut_off_ = false;
  bool is_parked_ = false;
  bool owns_name_ = false;        // our holder does
  bool outlives_holder_ = false;  // the mount: it is parked then
  bool is_holder_dead_ = false;   // what it would have cleaned up is ours now
};

}  // namespace ztmpfs
