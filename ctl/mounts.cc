#include "ctl/mounts.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "base/holder_client.h"
#include "base/mountpoint_path.h"
#include "base/runtime_dir.h"
#include "ctl/control_client.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kInfoPatience{5};

std::string text_or_empty(const json::value& value) { return value.is_null() ? "" : value.as_string().c_str(); }

pid_t pid_or_none(const json::value& value) { return value.is_null() ? 0 : value.to_number<pid_t>(); }

// `where` is who has said so.
MountInfo parse_mount(const std::string& text, const std::string& where) {
  try {
    const json::object info = json::parse(text).as_object();
    const json::value* state = info.if_contains("state");
    return {.name = info.at("name").as_string().c_str(),
            .mountpoint = text_or_empty(info.at("mountpoint")),
            .server_pid = pid_or_none(info.at("server_pid")),
            .holder_pid = info.at("holder_pid").to_number<pid_t>(),
            .state = state != nullptr ? state->as_string().c_str() : "mounted",
            .socket_path = "",
            .holder_socket_path = ""};
  } catch (const std::exception&) {
    throw std::runtime_error("what answers on " + where + " is not ztmpfs");
  }
}

// The holder answers whatever its server does; without one (it has died just now) the server tells. NotServed if
// neither is there.
MountInfo ask_mount(const std::string& runtime_dir, const std::string& name) {
  const std::string holder_path = holder_socket_path(runtime_dir, name);
  const std::string socket_path = control_socket_path(runtime_dir, name);
  const HolderClient holder(holder_path);
  const auto status = holder.is_connected() ? holder.ask(HolderRequest::kStatus, kInfoPatience) : std::nullopt;
  MountInfo mount = status
                        ? parse_mount(status->text, holder_path)
                        : parse_mount(control_request(socket_path, "GET", "/v1/info", kInfoPatience).body, socket_path);
  mount.socket_path = socket_path;
  mount.holder_socket_path = holder_path;
  return mount;
}

}  // namespace

std::vector<MountInfo> find_mounts(const std::string& runtime_dir,
                                   const std::function<void(const std::string&)>& complain) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_dir, error))
    if (entry.path().extension() == kControlSocketSuffix || entry.path().extension() == kHolderSocketSuffix)
      names.insert(entry.path().stem().string());
  std::vector<MountInfo> mounts;
  for (const std::string& name : names) {
    try {
      mounts.push_back(ask_mount(runtime_dir, name));
    } catch (const NotServed&) {
      continue;  // ended without cleaning up, or just now
    } catch (const std::exception& failure) {
      complain(failure.what());
    }
  }
  return mounts;
}

std::optional<MountInfo> find_mount(const std::string& runtime_dir, const std::string& name) {
  try {
    return ask_mount(runtime_dir, name);
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

const MountInfo& choose_mount(const std::vector<MountInfo>& mounts, const std::string& target) {
  if (target.empty()) {
    if (mounts.size() == 1) return mounts.front();
    throw std::runtime_error(mounts.empty() ? "no ztmpfs is mounted" : "there are several mounts: say which one");
  }
  if (auto mount = std::ranges::find(mounts, target, &MountInfo::name); mount != mounts.end()) return *mount;
  if (auto mount = std::ranges::find(mounts, mountpoint_path(target), &MountInfo::mountpoint); mount != mounts.end())
    return *mount;
  if (target.find('/') != std::string::npos) throw std::runtime_error("no ztmpfs is mounted on " + target);
  throw std::runtime_error("no ztmpfs named " + target + " is mounted");
}

}  // namespace ztmpfs
