#include "ctl/stats_feed.h"

#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <sstream>

#include "ctl/control_client.h"

namespace ztmpfs {

namespace {

// Keys and signals wait as long.
constexpr std::chrono::seconds kPatience{2};

// A restart of a service keeps the mount: so long may nobody be there who knows its name.
constexpr std::chrono::seconds kAbsenceMax{5};

// As in /proc/self/mountinfo, where the kernel writes these four as octal numbers (proc_pid_mountinfo(5)).
std::string escape(const std::string& path) {
  std::string text;
  for (const char c : path) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\') {
      text.append({'\\', char('0' + c / 64), char('0' + c / 8 % 8), char('0' + c % 8)});
    } else {
      text += c;
    }
  }
  return text;
}

// Does not ask the file system itself, which may have no server just now.
bool is_mountpoint(const std::string& path) {
  const std::string wanted = escape(path);
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string mount_id, parent_id, device, root, mountpoint;
    if (fields >> mount_id >> parent_id >> device >> root >> mountpoint && mountpoint == wanted) return true;
  }
  return false;
}

}  // namespace

std::optional<StatsSample> StatsFeed::take() {
  std::string body;
  try {
    const ControlAnswer answer = control_request(mount_.socket_path, "GET", "/v1/stats", kPatience);
    if (answer.status == 200) body = answer.body;
  } catch (const std::exception&) {
    body.clear();  // either the mount is no more, or its server: its holder knows
  }
  if (body.empty()) {
    throw_if_ended();
    return std::nullopt;
  }
  absent_since_.reset();
  StatsSample sample{.stats = boost::json::parse(body).as_object(), .time = std::chrono::steady_clock::now()};
  const auto uptime = sample.stats.at("uptime_seconds").to_number<uint64_t>();
  if (uptime < uptime_) throw std::runtime_error(mount_.name + " has ended, and was mounted anew");
  uptime_ = uptime;
  return sample;
}

// Whether it is another mount by now, is told by the uptime: the holder of the same one may be another process.
void StatsFeed::throw_if_ended() {
  const auto found = find_mount(runtime_dir_, mount_.name);
  if (found && !found->is_mounted()) throw std::runtime_error(mount_.name + " has ended");
  if (found) return absent_since_.reset();
  const auto now = std::chrono::steady_clock::now();
  if (!absent_since_) absent_since_ = now;
  if (!is_mountpoint(mount_.mountpoint) || now - *absent_since_ >= kAbsenceMax)
    throw std::runtime_error(mount_.name + " has ended");
}

}  // namespace ztmpfs
