#include "daemon/control_routes.h"

#include <boost/json.hpp>
#include <stdexcept>
#include <utility>

#include "daemon/prometheus_text.h"

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

Setting parse_setting(std::string_view key, const json::value& value) {
  if (value.is_string()) return {std::string(key), std::string(value.as_string()), ""};
  if (value.is_int64() || value.is_uint64()) return {std::string(key), json::serialize(value), ""};
  throw std::invalid_argument("set: " + std::string(key) + " is " + json::serialize(value) +
                              ", but must be a text or a whole number");
}

// What POST /v1/set asks for. Throws std::invalid_argument.
std::vector<Setting> parse_settings(const std::string& body) {
  boost::system::error_code error;
  const json::value value = json::parse(body, error);
  if (error || !value.is_object() || value.as_object().empty())
    throw std::invalid_argument("set takes {\"size\": \"2G\"}, or hot or psi");
  std::vector<Setting> settings;
  for (const auto& [key, setting] : value.as_object()) settings.push_back(parse_setting(key, setting));
  return settings;
}

json::object live_values_json(const LiveValues& values) {
  return {{"size", values.size}, {"hot", values.hot}, {"psi", values.psi}};
}

}  // namespace

std::vector<ControlRoute> control_routes(ControlSource source) {
  const ServerInfo info = source.info;
  const auto metrics = [info, stats = source.stats](const std::string&) {
    return ControlReply{200, kPrometheusType, prometheus_text(info, stats())};
  };
  const auto compact = [run = std::move(source.compact)](const std::string&) {
    return json_reply(compact_json(run()));
  };
  const auto shrink = [run = std::move(source.shrink)](const std::string& body) {
    return json_reply(report_json(run({.target = parse_bytes(body), .time_max = ReclaimRequest::kByHandTimeMax})));
  };
  const auto set = [change = std::move(source.change)](const std::string& body) {
    return json_reply(live_values_json(change(parse_settings(body))));
  };
  return {
      {.method = "GET",
       .path = "/v1/info",
       .answer = [info](const std::string&) { return json_reply(info_json(info)); }},
      {.method = "GET",
       .path = "/v1/stats",
       .answer = [info, stats = source.stats](const std::string&) { return json_reply(stats_json(info, stats())); }},
      {.method = "GET", .path = "/metrics", .answer = metrics},
      {.method = "POST",
       .path = "/v1/check",
       .answer = [audit = std::move(source.audit)](const std::string&) { return json_reply(check_json(audit())); },
       .is_slow = true},
      {.method = "POST", .path = "/v1/compact", .answer = compact, .is_slow = true},
      {.method = "POST", .path = "/v1/shrink", .answer = shrink, .is_slow = true},
      {.method = "POST", .path = "/v1/set", .answer = set, .is_slow = true}};
}

}  // namespace ztmpfs
