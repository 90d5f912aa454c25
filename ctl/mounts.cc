#include "ctl/mounts.h"

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <stdexcept>

#include "base/mountpoint_path.h"
#include "base/runtime_dir.h"
#include "ctl/control_client.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kInfoPatience{5};

MountInfo ask_mount(const std::string& socket_path) {
  const ControlAnswer answer = control_request(socket_path, "GET", "/v1/info", kInfoPatience);
  try {
    const json::object info = json::parse(answer.body).as_object();
    return {.name = info.at("name").as_string().c_str(),
            .mountpoint = info.at("mountpoint").as_string().c_str(),
            .server_pid = info.at("server_pid").to_number<pid_t>(),
            .holder_pid = info.at("holder_pid").to_number<pid_t>(),
            .socket_path = socket_path};
  } catch (const std::exception&) {
    throw std::runtime_error("what answers on " + socket_path + " is not ztmpfs");
  }
}

}  // namespace

std::vector<MountInfo> find_mounts(const std::string& runtime_dir,
                                   const std::function<void(const std::string&)>& complain) {
  std::vector<MountInfo> mounts;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_dir, error)) {
    if (entry.path().extension() != kControlSocketSuffix) continue;
    try {
      mounts.push_back(ask_mount(entry.path().string()));
    } catch (const NotServed&) {
      continue;  // ended without cleaning up, or just now
    } catch (const std::exception& failure) {
      complain(failure.what());
    }
  }
  std::ranges::sort(mounts, {}, &MountInfo::name);
  return mounts;
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
