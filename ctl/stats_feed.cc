#include "ctl/stats_feed.h"

#include <boost/json.hpp>
#include <chrono>

#include "ctl/control_client.h"

namespace ztmpfs {

namespace {

// Keys and signals wait as long.
constexpr std::chrono::seconds kPatience{2};

}  // namespace

std::optional<StatsSample> StatsFeed::take() {
  std::string body;
  try {
    const ControlAnswer answer = control_request(mount_.socket_path, "GET", "/v1/stats", kPatience);
    if (answer.status == 200) body = answer.body;
  } catch (const std::exception&) {
    // Either the mount is no more, or its server: its holder knows.
  }
  if (body.empty()) {
    throw_if_ended();
    return std::nullopt;
  }
  StatsSample sample{.stats = boost::json::parse(body).as_object(), .time = std::chrono::steady_clock::now()};
  const auto uptime = sample.stats.at("uptime_seconds").to_number<uint64_t>();
  if (uptime < uptime_) throw std::runtime_error(mount_.name + " has ended, and was mounted anew");
  uptime_ = uptime;
  return sample;
}

void StatsFeed::throw_if_ended() const {
  const auto now = find_mount(runtime_dir_, mount_.name);
  if (!now || !now->is_mounted()) throw std::runtime_error(mount_.name + " has ended");
  if (now->holder_pid != mount_.holder_pid) throw std::runtime_error(mount_.name + " has ended, and was mounted anew");
}

}  // namespace ztmpfs
