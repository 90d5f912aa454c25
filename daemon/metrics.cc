#include "daemon/metrics.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

namespace ztmpfs {

namespace {

using Samples = std::vector<MetricSample>;
using enum MetricType;

constexpr double kMillisecond = 0.001;

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

Samples mount_info(const ServerInfo& info, const ServerStats&) {
  return {{.labels = {{"mountpoint", info.mountpoint}, {"version", ZTMPFS_VERSION}}, .value = 1}};
}

Samples requests(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const auto& [opcode, count] : stats.requests)
    samples.push_back({.labels = {{"opcode", opcode}}, .value = double(count)});
  return samples;
}

// Prometheus' buckets are cumulative: each counts what the ones before it count too.
Samples durations(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const auto& [opcode, latency] : stats.latencies) {
    uint64_t count = 0;
    for (size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
      count += latency.counts[bucket];
      std::string bound = "+Inf";
      if (bucket < LatencyHistogram::kBounds) bound = format_number(seconds(LatencyHistogram::bound(bucket)));
      samples.push_back({.labels = {{"opcode", opcode}, {"le", bound}}, .value = double(count), .suffix = "_bucket"});
    }
    samples.push_back({.labels = {{"opcode", opcode}}, .value = seconds(latency.sum), .suffix = "_sum"});
    samples.push_back({.labels = {{"opcode", opcode}}, .value = double(count), .suffix = "_count"});
  }
  return samples;
}

std::vector<MetricLabel> labels_of(const PsiWatchStats& watch) {
  return {{"path", watch.path}, {"level", std::string(to_string(watch.level))}};
}

template <uint64_t PsiWatchStats::* Field>
Samples of_sources(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const PsiWatchStats& watch : stats.psi)
    samples.push_back({.labels = labels_of(watch), .value = double(watch.*Field)});
  return samples;
}

Samples source_states(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const PsiWatchStats& watch : stats.psi) {
    for (const PsiWatchState state :
         {PsiWatchState::kTrigger, PsiWatchState::kPolling, PsiWatchState::kLost, PsiWatchState::kUnavailable}) {
      auto labels = labels_of(watch);
      labels.push_back({"state", std::string(to_string(state))});
      samples.push_back({.labels = std::move(labels), .value = state == watch.state ? 1.0 : 0.0});
    }
  }
  return samples;
}

Samples since_events(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const PsiWatchStats& watch : stats.psi)
    if (watch.since_event)
      samples.push_back({.labels = labels_of(watch), .value = double(watch.since_event->count()) * kMillisecond});
  return samples;
}

template <uint64_t ReclaimStats::* Field>
Samples of_reclaim(const ServerInfo&, const ServerStats& stats) {
  return {{.labels = {}, .value = double(stats.volume.reclaim.*Field)}};
}

Samples reclaim_freed(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const auto& [shrinker, bytes] : stats.volume.reclaim.freed)
    samples.push_back({.labels = {{"shrinker", shrinker}}, .value = double(bytes)});
  return samples;
}

Samples of_last_run(const ServerStats& stats, double (*value)(const ReclaimReport&)) {
  const auto& last = stats.volume.reclaim.last;
  if (!last) return {};
  return {{.labels = {{"cause", std::string(to_string(last->cause))}}, .value = value(*last)}};
}

Samples last_freed(const ServerInfo&, const ServerStats& stats) {
  return of_last_run(stats, [](const ReclaimReport& report) { return double(report.freed); });
}

Samples last_moved(const ServerInfo&, const ServerStats& stats) {
  return of_last_run(stats, [](const ReclaimReport& report) { return double(report.moved); });
}

Samples last_time(const ServerInfo&, const ServerStats& stats) {
  return of_last_run(stats, [](const ReclaimReport& report) { return double(report.time.count()) * kMillisecond; });
}

Samples last_stuck(const ServerInfo&, const ServerStats& stats) {
  return of_last_run(stats, [](const ReclaimReport& report) { return report.stuck ? 1.0 : 0.0; });
}

template <uint64_t SizeClassStats::* Field, uint64_t Scale = 1>
Samples of_classes(const ServerInfo&, const ServerStats& stats) {
  Samples samples;
  for (const SizeClassStats& one : stats.volume.classes)
    if (one.objects_allocated != 0)
      samples.push_back({.labels = {{"size", std::to_string(one.object_size)}}, .value = double(one.*Field * Scale)});
  return samples;
}

constexpr Metric kMetrics[] = {
    {.name = "ztmpfs_mount_info",
     .type = kGauge,
     .unit = "",
     .stats_key = "mountpoint",
     .help = "Always 1. Where the mount is, and the version of the program that serves it.",
     .samples = mount_info,
     .labels = "mountpoint, version"},
    {.name = "ztmpfs_uptime_seconds",
     .type = kGauge,
     .unit = "seconds",
     .stats_key = "uptime_seconds",
     .help = "How long the mount has been there, whichever servers have served it.",
     .scalar = [](const ServerStats& stats) -> uint64_t {
       return uint64_t(duration_cast<std::chrono::seconds>(stats.uptime).count());
     }},
    {.name = "ztmpfs_server_restarts_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "server_restarts",
     .help = "Servers started because the one before had died, hung or left.",
     .scalar = [](const ServerStats& stats) { return stats.server_restarts; }},
    {.name = "ztmpfs_oom_kills_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "oom_kills",
     .help = "Servers that were killed while the kernel was killing processes for want of memory.",
     .scalar = [](const ServerStats& stats) { return stats.oom_kills; }},
    {.name = "ztmpfs_contents_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "orig_data_size",
     .help = "Contents of all files before compression, without holes.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.orig_data_size; }},
    {.name = "ztmpfs_contents_max_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "orig_data_max",
     .help = "The peak of the contents of all files before compression, since the server started.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.orig_data_max; }},
    {.name = "ztmpfs_compressed_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "compr_data_size",
     .help = "Sealed (settled) blocks as they are stored.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.compr_data_size; }},
    {.name = "ztmpfs_memory_used_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "mem_used_total",
     .help = "Memory that the mount keeps resident, all of it but the kernel's page cache of its files.",
     .scalar = [](const ServerStats& stats) { return stats.volume.mem_used_total; }},
    {.name = "ztmpfs_memory_limit_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "mem_limit",
     .help = "The cap on the memory in use (size=).",
     .scalar = [](const ServerStats& stats) { return stats.volume.mem_limit; }},
    {.name = "ztmpfs_hot_limit_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "hot_limit",
     .help = "So much may lie uncompressed before writers compress for themselves (hot=).",
     .scalar = [](const ServerStats& stats) { return stats.volume.hot_limit; }},
    // The peak is taken when pages are charged; the heaps are measured only now.
    {.name = "ztmpfs_memory_used_max_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "mem_used_max",
     .help = "The peak of the memory in use.",
     .scalar =
         [](const ServerStats& stats) { return std::max(stats.volume.mem_used_max, stats.volume.mem_used_total); }},
    {.name = "ztmpfs_same_filled_blocks",
     .type = kGauge,
     .unit = "",
     .stats_key = "same_pages",
     .help = "Blocks that one repeated word fills, which take no memory of their own.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.same_pages; }},
    {.name = "ztmpfs_incompressible_blocks",
     .type = kGauge,
     .unit = "",
     .stats_key = "huge_pages",
     .help = "Sealed blocks that do not compress.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.huge_pages; }},
    {.name = "ztmpfs_compacted_bytes_total",
     .type = kCounter,
     .unit = "bytes",
     .stats_key = "pages_compacted",
     .help = "Memory freed by compaction (in stats as pages of 4096 bytes), since the server started.",
     .scalar = [](const ServerStats& stats) { return stats.volume.pool.pages_compacted; },
     .scale = double(kPageSize)},
    // The volume counts inodes.
    {.name = "ztmpfs_files",
     .type = kGauge,
     .unit = "",
     .stats_key = "files",
     .help = "Inodes in use that are no directories.",
     .scalar = [](const ServerStats& stats) { return stats.volume.files - stats.volume.directories; }},
    {.name = "ztmpfs_directories",
     .type = kGauge,
     .unit = "",
     .stats_key = "directories",
     .help = "Directories, the root too.",
     .scalar = [](const ServerStats& stats) { return stats.volume.directories; }},
    {.name = "ztmpfs_hot_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "hot_bytes",
     .help = "Memory of blocks that are not compressed yet.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.hot_bytes; }},
    {.name = "ztmpfs_reserved_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "reserved_bytes",
     .help = "Promised to files by fallocate(2) beyond the memory they use.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.reserved_bytes; }},
    {.name = "ztmpfs_metadata_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "metadata_bytes",
     .help = "Memory of the tables: inodes, names, slots, handles.",
     .scalar = [](const ServerStats& stats) { return stats.volume.metadata_bytes; }},
    {.name = "ztmpfs_pool_payload_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "pool_payload_bytes",
     .help = "Bytes stored in the pool.",
     .scalar = [](const ServerStats& stats) { return stats.volume.pool.payload; }},
    {.name = "ztmpfs_pool_span_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "pool_span_bytes",
     .help = "Memory of the pages that these bytes lie in.",
     .scalar = [](const ServerStats& stats) { return stats.volume.pool.span_bytes; }},
    {.name = "ztmpfs_pool_free_span_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "free_span_bytes",
     .help = "Freed memory kept for the next writes.",
     .scalar = [](const ServerStats& stats) { return stats.volume.pool.free_span_bytes; }},
    {.name = "ztmpfs_pool_freeable_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "compact_freeable_bytes",
     .help = "What compaction could free.",
     .scalar = [](const ServerStats& stats) { return stats.volume.pool.freeable; }},
    {.name = "ztmpfs_checksum_failures_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "checksum_failures",
     .help = "Reads that met a block whose checksum is wrong, and failed with EIO; since the server started.",
     .scalar = [](const ServerStats& stats) { return stats.volume.store.checksum_failures; }},
    {.name = "ztmpfs_write_back_failures_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "write_back_failures",
     .help =
         "Writes through shared mappings that found no memory, not even in their reserve; since the server started.",
     .scalar = [](const ServerStats& stats) { return stats.volume.write_back_failures; }},
    {.name = "ztmpfs_forgets_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "forgets",
     .help = "FORGET and BATCH_FORGET requests executed since the mount.",
     .scalar = [](const ServerStats& stats) { return stats.forgets; }},
    {.name = "ztmpfs_requests_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "requests.*",
     .help = "FUSE requests answered since the mount, by opcode.",
     .samples = requests,
     .labels = "opcode"},
    {.name = "ztmpfs_request_duration_seconds",
     .type = kHistogram,
     .unit = "seconds",
     .stats_key = "latency.*",
     .help =
         "From the moment a request was read until its reply is handed to the kernel (FORGET: until it is executed); "
         "since the server started. In stats as count, sum and estimates of two quantiles.",
     .samples = durations,
     .labels = "opcode"},
    {.name = "ztmpfs_psi_events_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "psi.sources[].events",
     .help = "Times that a source has told of memory pressure, since it is watched.",
     .samples = of_sources<&PsiWatchStats::events>,
     .labels = "path, level"},
    {.name = "ztmpfs_psi_false_events_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "psi.sources[].false_events",
     .help = "Times that a source has told of pressure that there was not.",
     .samples = of_sources<&PsiWatchStats::false_events>,
     .labels = "path, level"},
    {.name = "ztmpfs_psi_source_state",
     .type = kGauge,
     .unit = "",
     .stats_key = "psi.sources[].state",
     .help = "How a source of memory pressure is watched: 1 for the state that it is in, 0 for the others.",
     .samples = source_states,
     .labels = "path, level, state"},
    {.name = "ztmpfs_psi_since_event_seconds",
     .type = kGauge,
     .unit = "seconds",
     .stats_key = "psi.sources[].seconds_since_event",
     .help = "Time since a source has told of memory pressure; left out before the first time.",
     .samples = since_events,
     .labels = "path, level"},
    {.name = "ztmpfs_reclaim_runs_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "reclaim.runs",
     .help = "Runs that were to give memory back, without those that found nothing to do; since the server started.",
     .samples = of_reclaim<&ReclaimStats::runs>},
    {.name = "ztmpfs_reclaim_stuck_runs_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "reclaim.stuck_runs",
     .help = "Runs that freed nothing of what was counted.",
     .samples = of_reclaim<&ReclaimStats::stuck_runs>},
    {.name = "ztmpfs_reclaim_backed_off_total",
     .type = kCounter,
     .unit = "",
     .stats_key = "reclaim.backed_off",
     .help = "Runs that were not tried, too soon after stuck ones or beside another.",
     .samples = of_reclaim<&ReclaimStats::backed_off>},
    {.name = "ztmpfs_reclaim_freed_bytes_total",
     .type = kCounter,
     .unit = "bytes",
     .stats_key = "reclaim.freed.*",
     .help = "Memory given back to the system, by what gave it.",
     .samples = reclaim_freed,
     .labels = "shrinker"},
    {.name = "ztmpfs_reclaim_last_freed_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "reclaim.last.freed",
     .help = "What the last run has freed.",
     .samples = last_freed,
     .labels = "cause"},
    {.name = "ztmpfs_reclaim_last_moved_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "reclaim.last.moved",
     .help = "What the last run has copied or compressed.",
     .samples = last_moved,
     .labels = "cause"},
    {.name = "ztmpfs_reclaim_last_duration_seconds",
     .type = kGauge,
     .unit = "seconds",
     .stats_key = "reclaim.last.milliseconds",
     .help = "How long the last run took.",
     .samples = last_time,
     .labels = "cause"},
    {.name = "ztmpfs_reclaim_last_stuck",
     .type = kGauge,
     .unit = "",
     .stats_key = "reclaim.last.stuck",
     .help = "1 if the last run freed nothing of what was counted, else 0.",
     .samples = last_stuck,
     .labels = "cause"},
    {.name = "ztmpfs_pool_class_allocated_objects",
     .type = kGauge,
     .unit = "",
     .stats_key = "classes[].objects_allocated",
     .help = "Places for objects in the spans of a size class. Classes without any are left out.",
     .samples = of_classes<&SizeClassStats::objects_allocated>,
     .labels = "size"},
    {.name = "ztmpfs_pool_class_used_objects",
     .type = kGauge,
     .unit = "",
     .stats_key = "classes[].objects_used",
     .help = "Objects in the spans of a size class.",
     .samples = of_classes<&SizeClassStats::objects_used>,
     .labels = "size"},
    {.name = "ztmpfs_pool_class_span_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "classes[].pages_used",
     .help = "Memory of the spans of a size class (in stats as pages of 4096 bytes).",
     .samples = of_classes<&SizeClassStats::pages_used, kPageSize>,
     .labels = "size"},
    {.name = "ztmpfs_pool_class_freeable_bytes",
     .type = kGauge,
     .unit = "bytes",
     .stats_key = "classes[].pages_freeable",
     .help = "What compaction could free of a size class (in stats as pages of 4096 bytes).",
     .samples = of_classes<&SizeClassStats::pages_freeable, kPageSize>,
     .labels = "size"},
};

constexpr StatsOnly kStatsOnly[] = {
    {"name", "the label `mount` of all of them"},
    {"psi.events", "the sum of `ztmpfs_psi_events_total`"},
    {"psi.last_event", "the least of `ztmpfs_psi_since_event_seconds`, with its labels"},
    {"psi.sources[].path", "a label"},
    {"psi.sources[].level", "a label"},
    {"psi.sources[].trigger", "a text"},
    {"psi.sources[].reason", "a text"},
    {"reclaim.last.cause", "a label"},
    {"reclaim.last.level", "a text"},
    {"reclaim.last.target", "`ztmpfs_reclaim_last_freed_bytes` tells what came of it"},
    {"reclaim.last.shrinkers", "`ztmpfs_reclaim_freed_bytes_total` has what each has freed in all runs"},
    {"classes[].object_size", "the label `size`"},
    {"classes[].pages_per_span", "follows from the size"},
    {"classes[].objects_per_span", "follows from the size"},
};

}  // namespace

std::string_view to_string(MetricType type) {
  switch (type) {
    case kGauge: return "gauge";
    case kCounter: return "counter";
    case kHistogram: return "histogram";
  }
  return "untyped";
}

std::string format_number(double value) {
  constexpr double kExact = 9007199254740992;  // 2^53: below it every whole number is a double
  std::array<char, 32> digits{};
  const bool is_whole = std::abs(value) < kExact && value == std::floor(value);
  const auto end = is_whole ? std::to_chars(digits.begin(), digits.end(), int64_t(value)).ptr
                            : std::to_chars(digits.begin(), digits.end(), value).ptr;
  return {digits.begin(), end};
}

std::span<const Metric> metrics() { return kMetrics; }

std::span<const StatsOnly> stats_only() { return kStatsOnly; }

}  // namespace ztmpfs
