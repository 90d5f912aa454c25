#include "ctl/live_figures.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <string_view>

namespace ztmpfs {

namespace {

namespace json = boost::json;

uint64_t number(const json::object& stats, std::string_view key) { return stats.at(key).to_number<uint64_t>(); }

uint64_t difference(uint64_t before, uint64_t now) { return now > before ? now - before : 0; }

uint64_t number_or_zero(const json::object& stats, std::string_view key) {
  const json::value* value = stats.if_contains(key);
  return value == nullptr ? 0 : value->to_number<uint64_t>();
}

uint64_t freed(const json::object& stats) {
  uint64_t sum = 0;
  for (const auto& [shrinker, bytes] : stats.at("reclaim").at("freed").as_object()) sum += bytes.to_number<uint64_t>();
  return sum;
}

}  // namespace

LiveFigures live_figures(const StatsSample& before, const StatsSample& now) {
  LiveFigures figures{.stats = now.stats};
  figures.seconds = std::max(std::chrono::duration<double>(now.time - before.time).count(), 0.001);
  const json::object& old_requests = before.stats.at("requests").as_object();
  for (const auto& [opcode, count] : now.stats.at("requests").as_object()) {
    const uint64_t answered = difference(number_or_zero(old_requests, opcode), count.to_number<uint64_t>());
    if (answered == 0) continue;
    figures.requests.emplace_back(opcode, double(answered) / figures.seconds);
    figures.requests_per_second += double(answered) / figures.seconds;
  }
  std::ranges::sort(figures.requests, {}, [](const auto& one) { return std::pair(-one.second, one.first); });
  figures.psi_events = difference(number(before.stats.at("psi").as_object(), "events"),
                                  number(now.stats.at("psi").as_object(), "events"));
  figures.reclaim_runs = difference(number(before.stats.at("reclaim").as_object(), "runs"),
                                    number(now.stats.at("reclaim").as_object(), "runs"));
  figures.reclaim_freed = difference(freed(before.stats), freed(now.stats));
  figures.server_restarts =
      difference(number_or_zero(before.stats, "server_restarts"), number_or_zero(now.stats, "server_restarts"));
  return figures;
}

std::string live_json(const LiveFigures& figures) {
  json::object requests;
  for (const auto& [opcode, rate] : figures.requests) requests[opcode] = rate;
  return json::serialize(json::object{{"seconds", figures.seconds},
                                      {"requests_per_second", std::move(requests)},
                                      {"psi_events", figures.psi_events},
                                      {"reclaim_runs", figures.reclaim_runs},
                                      {"reclaim_freed", figures.reclaim_freed},
                                      {"server_restarts", figures.server_restarts},
                                      {"stats", figures.stats}}) +
         "\n";
}

}  // namespace ztmpfs
