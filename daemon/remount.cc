#include "daemon/remount.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "base/mountpoint_path.h"
#include "base/runtime_dir.h"
#include "daemon/control_request.h"
#include "daemon/mount_table.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr std::string_view kRemount = "remount";
constexpr std::string_view kByService = "by_service";
// What the kernel shows of any FUSE mount; mount(8) passes it on.
constexpr std::array<std::string_view, 4> kShownByKernel{"user_id", "group_id", "max_read", "blksize"};
constexpr unsigned kBadRequest = 400;

// What the daemon said instead of 200.
std::string reason_of(const ControlReply& reply) {
  boost::system::error_code error;
  const json::value body = json::parse(reply.body, error);
  const json::value* sentence = !error && body.is_object() ? body.as_object().if_contains("error") : nullptr;
  if (sentence == nullptr || !sentence->is_string()) return "HTTP status " + std::to_string(reply.status);
  return sentence->as_string().c_str();
}

bool serves(const std::string& socket_path, const std::string& mountpoint) {
  try {
    const json::value info = json::parse(control_request(socket_path, "GET", "/v1/info").body);
    return info.at("mountpoint").as_string() == mountpoint;
  } catch (const std::exception&) {
    return false;  // ended, or not ours
  }
}

// By mount point: the source that mount(8) knows may be another text than the name (fsname=).
std::string find_control_socket(const std::string& mountpoint) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_dir(), error))
    if (entry.path().extension() == kControlSocketSuffix && serves(entry.path().string(), mountpoint))
      return entry.path().string();
  throw std::runtime_error("no ztmpfs of this user is mounted on " + mountpoint);
}

void change_live_options(const std::string& mountpoint, const std::vector<Setting>& settings) {
  json::object change;
  for (const Setting& setting : settings)
    if (is_live_option(setting.key) && setting.value) change[setting.key] = *setting.value;
  if (change.empty()) return;
  const ControlReply reply =
      control_request(find_control_socket(mountpoint), "POST", "/v1/set", json::serialize(change));
  if (reply.status == kBadRequest) throw UsageError(reason_of(reply));
  if (reply.status != 200) throw std::runtime_error(reason_of(reply));
}

void change_flags(const MountEntry& entry, const std::vector<Setting>& settings) {
  constexpr MountFlags kAtimeFlags = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
  const MountFlags before = parse_mount_flags(entry.options);
  MountFlags flags = default_mount_flags();
  bool is_any_given = false;
  for (const Setting& setting : settings)
    if (apply_mount_flag(setting.key, flags)) is_any_given = true;
  if ((flags & kAtimeFlags) == 0) flags |= before & kAtimeFlags;  // as the kernel does
  if (!is_any_given || flags == before) return;
  if (::mount(entry.source.c_str(), entry.mountpoint.c_str(), entry.type.c_str(), MS_REMOUNT | flags, nullptr) < 0)
    throw std::runtime_error("cannot change the flags of " + entry.mountpoint + ": " + std::strerror(errno));
}

}  // namespace

bool is_remount(const std::vector<Setting>& settings) {
  return std::ranges::find(settings, kRemount, &Setting::key) != settings.end();
}

bool is_by_service(const std::vector<Setting>& settings) {
  return std::ranges::find(settings, kByService, &Setting::key) != settings.end();
}

void require_mounted(const std::string& name, const std::string& mountpoint) {
  const std::string path = mountpoint_path(mountpoint);
  const auto table = read_mount_table();
  if (find_mount(table, path) == nullptr || !serves(control_socket_path(runtime_dir(), name), path))
    throw std::runtime_error("no service has mounted " + name + " on " + path + ": see systemctl status ztmpfs@" +
                             name);
}

void remount(const std::string& mountpoint, const std::vector<Setting>& settings, const Surroundings& surroundings) {
  std::vector<Setting> known = settings;
  std::erase_if(known, [](const Setting& setting) {
    return setting.key == kRemount || std::ranges::find(kShownByKernel, setting.key) != kShownByKernel.end();
  });
  resolve_options("remount", mountpoint, known, surroundings);  // only for what it refuses
  const std::string path = mountpoint_path(mountpoint);
  const auto table = read_mount_table();
  const MountEntry* entry = find_mount(table, path);
  if (entry == nullptr || !entry->type.starts_with("fuse")) throw std::runtime_error("no ztmpfs is mounted on " + path);
  // Flags first: they are what may be refused to a user who may change the rest.
  change_flags(*entry, known);
  change_live_options(path, known);
}

}  // namespace ztmpfs
