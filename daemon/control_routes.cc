#include "daemon/control_routes.h"

#include <boost/json.hpp>
#include <stdexcept>
#include <utility>

namespace ztmpfs {

namespace {

namespace json = boost::json;

ControlReply json_reply(const json::value& value) { return {200, "application/json", json::serialize(value) + "\n"}; }

json::object info_json(const ServerInfo& info) {
  return {{"name", info.name},
          {"mountpoint", info.mountpoint},
          {"server_pid", info.server_pid},
          {"holder_pid", info.holder_pid},
          {"version", ZTMPFS_VERSION}};
}

json::object check_json(const std::vector<std::string>& breaches) {
  return {{"ok", breaches.empty()}, {"breaches", json::array(breaches.begin(), breaches.end())}};
}

json::object compact_json(const ReclaimReport& report) {
  return {{"pages_freed", report.freed / kPageSize},
          {"bytes_freed", report.freed},
          {"bytes_moved", report.moved},
          {"milliseconds", report.time.count()},
          {"stuck", !report.parts.empty() && report.parts.front().result.stuck}};
}

// The number of bytes that POST /v1/shrink asks for. Throws std::invalid_argument.
Bytes parse_bytes(const std::string& body) {
  boost::system::error_code error;
  const json::value value = json::parse(body, error);
  const json::value* bytes = !error && value.is_object() ? value.as_object().if_contains("bytes") : nullptr;
  if (bytes == nullptr) throw std::invalid_argument("shrink takes {\"bytes\": N}");
  const auto number = bytes->to_number<uint64_t>(error);
  if (error || number == 0)
    throw std::invalid_argument("shrink: bytes is " + json::serialize(*bytes) + ", but must be a number above 0");
  return number;
}

}  // namespace

std::vector<ControlRoute> control_routes(ControlSource source) {
  const ServerInfo info = source.info;
  const auto compact = [run = std::move(source.compact)](const std::string&) {
    return json_reply(compact_json(run()));
  };
  const auto shrink = [run = std::move(source.shrink)](const std::string& body) {
    return json_reply(report_json(run({.target = parse_bytes(body), .time_max = ReclaimRequest::kByHandTimeMax})));
  };
  return {{.method = "GET",
           .path = "/v1/info",
           .answer = [info](const std::string&) { return json_reply(info_json(info)); }},
          {.method = "GET",
           .path = "/v1/stats",
           .answer = [info, stats = std::move(source.stats)](
                         const std::string&) { return json_reply(stats_json(info, stats())); }},
          {.method = "POST",
           .path = "/v1/check",
           .answer = [audit = std::move(source.audit)](const std::string&) { return json_reply(check_json(audit())); },
           .is_slow = true},
          {.method = "POST", .path = "/v1/compact", .answer = compact, .is_slow = true},
          {.method = "POST", .path = "/v1/shrink", .answer = shrink, .is_slow = true}};
}

}  // namespace ztmpfs
