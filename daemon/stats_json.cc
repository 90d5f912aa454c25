#include "daemon/stats_json.h"

#include <boost/json.hpp>
#include <optional>
#include <utility>

#include "daemon/metrics.h"

namespace ztmpfs {

namespace {

namespace json = boost::json;

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

json::value seconds_json(const std::optional<std::chrono::milliseconds>& time) {
  if (!time) return nullptr;
  return double(time->count()) / 1000;
}

json::object psi_json(const std::vector<PsiWatchStats>& watches) {
  uint64_t events = 0;
  json::array sources;
  const PsiWatchStats* last = nullptr;
  for (const PsiWatchStats& watch : watches) {
    events += watch.events;
    if (watch.since_event && (last == nullptr || *watch.since_event < *last->since_event)) last = &watch;
    sources.push_back(json::object{{"path", watch.path},
                                   {"level", to_string(watch.level)},
                                   {"state", to_string(watch.state)},
                                   {"trigger", watch.trigger},
                                   {"reason", watch.reason},
                                   {"events", watch.events},
                                   {"false_events", watch.false_events},
                                   {"seconds_since_event", seconds_json(watch.since_event)}});
  }
  json::value last_event;
  if (last != nullptr)
    last_event = json::object{
        {"path", last->path}, {"level", to_string(last->level)}, {"seconds_ago", seconds_json(last->since_event)}};
  return {{"events", events}, {"last_event", std::move(last_event)}, {"sources", std::move(sources)}};
}

json::object latency_json(const std::map<std::string, LatencyHistogram>& latencies) {
  const auto seconds = [](std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); };
  json::object object;
  for (const auto& [opcode, latency] : latencies)
    object[opcode] = json::object{{"count", latency.count()},
                                  {"sum_seconds", seconds(latency.sum)},
                                  {"p50_seconds", seconds(latency.quantile(0.5))},
                                  {"p99_seconds", seconds(latency.quantile(0.99))}};
  return object;
}

json::object reclaim_json(const ReclaimStats& stats) {
  json::object freed;
  for (const auto& [shrinker, bytes] : stats.freed) freed[shrinker] = bytes;
  return {{"runs", stats.runs},
          {"stuck_runs", stats.stuck_runs},
          {"backed_off", stats.backed_off},
          {"freed", std::move(freed)},
          {"last", stats.last ? json::value(report_json(*stats.last)) : json::value()}};
}

}  // namespace

json::object report_json(const ReclaimReport& report) {
  json::array parts;
  for (const auto& [shrinker, result] : report.parts)
    parts.push_back(json::object{
        {"shrinker", shrinker}, {"freed", result.freed}, {"moved", result.moved}, {"stuck", result.stuck}});
  json::value target;
  if (report.target != ReclaimRequest::kEverything) target = report.target;
  return {{"cause", to_string(report.cause)},
          {"level", to_string(report.level)},
          {"target", std::move(target)},
          {"freed", report.freed},
          {"moved", report.moved},
          {"milliseconds", report.time.count()},
          {"stuck", report.stuck},
          {"shrinkers", std::move(parts)}};
}

json::object stats_json(const ServerInfo& info, const ServerStats& stats) {
  json::object object{{"name", info.name}, {"mountpoint", info.mountpoint}};
  for (const Metric& metric : metrics())
    if (metric.scalar != nullptr) object[metric.stats_key] = metric.scalar(stats);
  json::object requests;
  for (const auto& [opcode, count] : stats.requests) requests[opcode] = count;
  object["requests"] = std::move(requests);
  object["latency"] = latency_json(stats.latencies);
  object["psi"] = psi_json(stats.psi);
  object["reclaim"] = reclaim_json(stats.volume.reclaim);
  object["classes"] = classes_json(stats.volume.classes);
  return object;
}

}  // namespace ztmpfs
