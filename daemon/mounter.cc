#include "daemon/mounter.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <ranges>
#include <stdexcept>
#include <string_view>

#include "base/log.h"
#include "base/mountpoint_path.h"
#include "daemon/fusermount.h"
#include "daemon/mount_table.h"

namespace ztmpfs {

namespace {

constexpr const char* kFuseDevice = "/dev/fuse";
// Four requests of the largest size: enough that two readers decompress at once. A file of 341 MiB sealed with zstd:3
// was read at 0.8 GB/s with 1 MiB, at 1.4 with 2 MiB, at 1.5 with 4 MiB, and no faster with more.
constexpr std::string_view kReadAheadKiB = "4096";

std::string reason() { return std::strerror(errno); }

bool is_root() { return ::geteuid() == 0; }

void refuse_if_mounted(const std::string& path) {
  const auto table = read_mount_table();
  if (const MountEntry* entry = find_mount(table, path))
    throw std::runtime_error("mount point " + path + " is in use: " + entry->source + " (" + entry->type +
                             ") is mounted there");
}

bool write_file(const std::string& path, std::string_view text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file && ::write(file.get(), text.data(), text.size()) == ssize_t(text.size());
}

void check_fuse_device() {
  if (::access(kFuseDevice, F_OK) != 0)
    throw std::runtime_error("there is no /dev/fuse: load the kernel module fuse, or give the container the device");
}

UniqueFd mount_as_root(const Options& options) {
  UniqueFd device(::open(kFuseDevice, O_RDWR | O_CLOEXEC));
  if (!device) throw std::runtime_error("cannot open /dev/fuse: " + reason());
  // The kernel's mount options of FUSE (Documentation/filesystems/fuse.rst); rootmode says that the root is a
  // directory.
  std::string data = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=" + std::to_string(::geteuid()) +
                     ",group_id=" + std::to_string(::getegid());
  if (options.allow_other) data += ",allow_other";
  if (options.default_permissions) data += ",default_permissions";
  const std::string type = "fuse." + options.subtype;
  if (::mount(options.source.c_str(), options.mountpoint.c_str(), type.c_str(), options.mount_flags, data.c_str()) < 0)
    throw std::runtime_error("cannot mount on " + options.mountpoint + ": " + reason());
  return device;
}

UniqueFd mount_as_user(const Options& options) {
  std::string list = "fsname=" + options.source + ",subtype=" + options.subtype;
  if (options.allow_other) list += ",allow_other";
  if (options.default_permissions) list += ",default_permissions";
  for (const std::string& flag : fusermount_flag_names(options.mount_flags)) list += "," + flag;
  UniqueFd device;
  const FusermountResult result = fusermount_mount(list, options.mountpoint, device);
  if (!result.succeeded || !device)
    throw std::runtime_error("cannot mount on " + options.mountpoint + ": " + result.message);
  return device;
}

bool is_dead(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) < 0 && errno == ENOTCONN;
}

void unmount_path(const std::string& path, bool lazily) {
  if (is_root()) {
    const int flags = UMOUNT_NOFOLLOW | (lazily ? MNT_DETACH : 0);
    if (::umount2(path.c_str(), flags) < 0 && errno != EBUSY && errno != EINVAL)
      log(LogLevel::kWarning, "cannot unmount " + path + ": " + reason());
  } else {
    const FusermountResult result = fusermount_unmount(path, lazily);
    if (!result.succeeded) log(LogLevel::kWarning, "cannot unmount " + path + ": " + result.message);
  }
}

}  // namespace

// The kernel tells of the end of a FUSE connection by an error (fs/fuse/dev.c, fuse_dev_poll).
bool MountPoint::is_connected() const {
  pollfd state{.fd = connection, .events = 0, .revents = 0};
  return connection >= 0 && ::poll(&state, 1, 0) >= 0 && (state.revents & (POLLERR | POLLNVAL)) == 0;
}

bool MountPoint::is_mounted() const { return !entries().empty(); }

std::vector<MountEntry> MountPoint::entries() const {
  auto table = read_mount_table();
  // In this order: see above.
  const bool is_ours = is_connected();
  std::erase_if(table, [&](const MountEntry& entry) {
    return entry.device != device || !(is_ours || (entry.mountpoint == path && is_dead(path)));
  });
  return table;
}

std::string check_mountpoint(const std::string& path) {
  refuse_if_mounted(mountpoint_path(path));
  std::error_code error;
  const std::string full = std::filesystem::canonical(path, error).string();
  if (error) throw std::runtime_error("mount point " + path + ": " + error.message());
  if (!std::filesystem::is_directory(full)) throw std::runtime_error("mount point " + path + " is not a directory");
  refuse_if_mounted(full);
  return full;
}

FuseMount mount_fuse(const Options& options) {
  check_fuse_device();
  FuseMount mount{is_root() ? mount_as_root(options) : mount_as_user(options), {options.mountpoint, ""}};
  const auto table = read_mount_table();
  const MountEntry* entry = find_mount(table, options.mountpoint);
  if (entry == nullptr) throw std::runtime_error("the mount on " + options.mountpoint + " is gone already");
  mount.mountpoint.device = entry->device;
  mount.mountpoint.connection = mount.device.get();
  return mount;
}

UnmountResult unmount(const MountPoint& mountpoint, bool lazily) {
  const auto entries = mountpoint.entries();
  const auto table = read_mount_table();
  for (const MountEntry& entry : std::views::reverse(entries)) {
    const MountEntry* top = find_mount(table, entry.mountpoint);
    if (top == nullptr) continue;
    if (top->device == mountpoint.device) {
      unmount_path(entry.mountpoint, lazily);
    } else {
      log(LogLevel::kWarning, "something else is mounted over " + entry.mountpoint);
    }
  }
  return mountpoint.is_mounted() ? UnmountResult::kBusy : UnmountResult::kGone;
}

void detach_mount(const std::string& path) { unmount_path(path, true); }

void raise_read_ahead(const MountPoint& mountpoint) {
  write_file("/sys/class/bdi/" + mountpoint.device + "/read_ahead_kb", kReadAheadKiB);
}

bool abort_connection(const MountPoint& mountpoint) {
  if (!mountpoint.is_connected()) return true;
  // fusectl names a connection after the minor number of the mount (Documentation/filesystems/fuse.rst).
  const std::string minor = mountpoint.device.substr(mountpoint.device.find(':') + 1);
  return write_file("/sys/fs/fuse/connections/" + minor + "/abort", "1");
}

}  // namespace ztmpfs
