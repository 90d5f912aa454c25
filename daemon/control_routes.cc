#include "daemon/control_routes.h"

#include <algorithm>
#include <boost/json.hpp>
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

json::array classes_json(const std::vector<SizeClassStats>& classes) {
  json::array list;
  for (const SizeClassStats& one : classes) {
    list.push_back(json::object{{"object_size", one.object_size},
                                {"pages_per_span", one.pages_per_span},
                                {"objects_per_span", one.objects_per_span},
                                {"objects_allocated", one.objects_allocated},
                                {"objects_used", one.objects_used},
                                {"pages_used", one.pages_used},
                                {"pages_freeable", one.pages_freeable}});
  }
  return list;
}

json::object stats_json(const ServerInfo& info, const ServerStats& stats) {
  const VolumeStats& volume = stats.volume;
  json::object requests;
  for (const auto& [opcode, count] : stats.requests) requests[opcode] = count;
  return {{"name", info.name},
          {"mountpoint", info.mountpoint},
          {"uptime_seconds", stats.uptime.count()},
          {"orig_data_size", volume.store.orig_data_size},
          {"compr_data_size", volume.store.compr_data_size},
          {"mem_used_total", volume.mem_used_total},
          {"mem_limit", volume.mem_limit},
          // The peak is taken when pages are charged; the heaps are measured only now.
          {"mem_used_max", std::max(volume.mem_used_max, volume.mem_used_total)},
          {"same_pages", volume.store.same_pages},
          {"huge_pages", volume.store.huge_pages},
          {"pages_compacted", 0},
          // The volume counts inodes.
          {"files", volume.files - volume.directories},
          {"directories", volume.directories},
          {"hot_bytes", volume.store.hot_bytes},
          {"metadata_bytes", volume.metadata_bytes},
          {"pool_payload_bytes", volume.pool.payload},
          {"pool_span_bytes", volume.pool.span_bytes},
          {"free_span_bytes", volume.pool.free_span_bytes},
          {"compact_freeable_bytes", volume.pool.freeable},
          {"checksum_failures", volume.store.checksum_failures},
          {"forgets", stats.forgets},
          {"requests", std::move(requests)},
          {"classes", classes_json(volume.classes)}};
}

json::object check_json(const std::vector<std::string>& breaches) {
  return {{"ok", breaches.empty()}, {"breaches", json::array(breaches.begin(), breaches.end())}};
}

}  // namespace

std::vector<ControlRoute> control_routes(ControlSource source) {
  const ServerInfo info = source.info;
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
           .is_slow = true}};
}

}  // namespace ztmpfs
