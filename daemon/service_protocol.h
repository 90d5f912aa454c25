#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/image.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// What a service manager kept of a mount whose holder has ended.
struct StoredDescriptors {
  UniqueFd fuse;     ///< /dev/fuse; empty if the mount had ended and only its contents were kept
  ImageFiles image;  ///< complete
};

/// What we say to the service manager that has started this process, and what it has handed to us: systemd's protocol
/// for services (sd_notify(3), sd_listen_fds(3), systemd.io/FILE_DESCRIPTOR_STORE), which others speak too. Without a
/// service manager every message goes nowhere. Descriptors and the end are sent by blocking for a second at most, all
/// that is sent while a mount is served never blocks; nothing is allocated but where a descriptor cannot be stored. One
/// thread.
class ServiceProtocol {
 public:
  /// The number of the first descriptor that is handed to a service (sd_listen_fds(3)).
  static constexpr int kFirstDescriptor = 3;

  /// No service manager.
  ServiceProtocol() = default;
  /// Reads what the environment says to this very process, and removes it, so that no program started from here takes
  /// it for its own. Owns what was handed over, from `first_descriptor` on. Throws std::runtime_error if it cannot be
  /// understood.
  static ServiceProtocol from_environment(int first_descriptor = kFirstDescriptor);

  /// Whether somebody listens.
  bool is_present() const { return bool(socket_); }
  /// Whether somebody listens who has started this very process, and none between. False if it cannot be told.
  bool is_main_process() const { return is_main_process_; }
  /// Closes every descriptor above stderr that is not this object's.
  void close_other_descriptors() const;
  /// Whether there is something to take.
  bool has_stored() const { return !received_.empty(); }
  /// The descriptors from an earlier store_*(), once; nothing if there were none. What is not ours is closed. Throws
  /// std::runtime_error if the image is not complete, or a descriptor is not what its name says: the manager is told to
  /// forget them all, so that the next start is not refused for the same.
  std::optional<StoredDescriptors> take_stored();

  /// The mount is usable, and `main_pid` is the process that the manager is to watch; `text` as in status(). False if
  /// the manager is too busy to take it now.
  [[nodiscard]] bool ready(pid_t main_pid, std::string_view text) const;
  /// The configuration is being read again; ready() follows. False as for ready().
  [[nodiscard]] bool reloading() const;
  /// One line for `systemctl status`. False if the manager is too busy to take it now.
  [[nodiscard]] bool status(std::string_view text) const;
  /// The service ends because it was told to, or because the mount has ended.
  void stopping() const;
  /// How long heartbeats may be apart at most so that none comes late: half of what the manager waits; nothing if it
  /// does not wait for any.
  std::optional<std::chrono::milliseconds> watchdog_interval() const { return watchdog_interval_; }
  /// A heartbeat.
  void watchdog() const;

  /// Has the manager keep the connection, in place of one that it has.
  void store_connection(const UniqueFd& fuse);
  /// Has the manager keep the image.
  void store_image(const ImageFiles& image);
  /// Has the manager forget the connection, which has ended.
  void remove_connection();
  /// Has the manager forget the image.
  void remove_image();
  /// Whether the image outlives this process: it was stored, and the manager says ($FDSTORE, systemd 254; by a unit
  /// file for older ones) that it has room for all of our descriptors.
  bool keeps_image() const { return has_room_ && is_image_stored_; }

 private:
  struct Received {
    std::string_view name;  // one of ours
    UniqueFd fd;
  };

  void open_socket(std::string_view address);
  void receive(int first_descriptor, std::string_view count, std::string_view names);
  UniqueFd take(std::string_view name);
  StoredDescriptors take_set();
  bool send(std::string_view message, int fd = -1, int flags = 0) const;
  bool send_now(std::string_view message) const;
  bool store(std::string_view name, const UniqueFd& fd) const;
  void remove(std::string_view name) const;

  UniqueFd socket_;
  sockaddr_un address_{};
  socklen_t address_length_ = 0;
  std::optional<std::chrono::milliseconds> watchdog_interval_;
  bool is_main_process_ = false;
  bool has_room_ = false;
  bool is_image_stored_ = false;
  std::vector<Received> received_;
};

}  // namespace ztmpfs
