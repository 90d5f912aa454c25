#include "tests/daemon/sample_stats.h"

namespace ztmpfs {

ReclaimReport sample_report(Bytes target) {
  return {.cause = ReclaimCause::kPressure,
          .level = PressureLevel::kSome,
          .target = target,
          .freed = 12288,
          .moved = 5000,
          .time = std::chrono::milliseconds(7),
          .stuck = false,
          .backed_off = false,
          .parts = {{"compaction", {.freed = 12288, .moved = 5000, .stuck = true}}}};
}

ServerStats sample_stats() {
  ServerStats stats{};
  stats.volume.store.orig_data_size = 1000;
  stats.volume.store.compr_data_size = 400;
  stats.volume.pool.payload = 450;
  stats.volume.pool.span_bytes = 4096;
  stats.volume.pool.free_span_bytes = 8192;
  stats.volume.pool.freeable = 4096;
  stats.volume.classes = {{.object_size = 64,
                           .pages_per_span = 1,
                           .objects_per_span = 64,
                           .objects_allocated = 64,
                           .objects_used = 9,
                           .pages_used = 1,
                           .pages_freeable = 0}};
  stats.volume.mem_used_total = 5 * kMiB;
  stats.volume.mem_limit = kGiB;
  stats.volume.files = 12;  // inodes
  stats.volume.directories = 2;
  stats.requests = {{"LOOKUP", 12}, {"WRITE", 7}};
  stats.latencies["WRITE"].counts[3] = 6;
  stats.latencies["WRITE"].counts[LatencyHistogram::kBounds] = 1;  // longer than all bounds
  stats.latencies["WRITE"].sum = std::chrono::milliseconds(12'000);
  stats.forgets = 2;
  stats.uptime = std::chrono::seconds(99);
  stats.server_restarts = 5;
  stats.oom_kills = 1;
  stats.volume.pool.pages_compacted = 3;
  stats.volume.reclaim.runs = 4;
  stats.volume.reclaim.stuck_runs = 1;
  stats.volume.reclaim.freed = {{"compaction", 12288}};
  stats.volume.reclaim.last = sample_report(kMiB);
  stats.psi = {{.path = "/proc/pressure/memory",
                .level = PressureLevel::kSome,
                .state = PsiWatchState::kTrigger,
                .trigger = "some 200000 2000000",
                .reason = "",
                .events = 2,
                .false_events = 1,
                .since_event = std::chrono::milliseconds(1500)},
               {.path = "/proc/pressure/memory",
                .level = PressureLevel::kFull,
                .state = PsiWatchState::kPolling,
                .trigger = "full 100000 2000000",
                .reason = "refused",
                .events = 0,
                .false_events = 0,
                .since_event = std::nullopt}};
  return stats;
}

ServerInfo sample_info() { return {.name = "build", .mountpoint = "/mnt", .server_pid = 11, .holder_pid = 10}; }

}  // namespace ztmpfs
