#include "fs/shrinkers.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace ztmpfs {

namespace {

// Costs, with room between them for those that come later. Compaction goes last: the objects that sealing makes fill
// free slots, and what is filled need not be moved.
enum Cost : unsigned { kFreeSpans = 10, kHotBlocks = 30, kCompaction = 40 };

constexpr std::string_view kCompactionName = "compaction";
// An audit that arrives waits so long for a scan, and all requests wait for the audit.
constexpr std::chrono::milliseconds kCompactionPortion{20};
constexpr size_t kBlocksPerScan = 64;

Shrinker free_spans(FileSystem& fs, Pool& pool) {
  const auto scan = [&](Bytes budget) {
    return ShrinkResult{.freed = fs.run_unfrozen([&] { return pool.release_free_spans(budget); })};
  };
  return {.name = "free_spans", .cost = kFreeSpans, .count = [&pool] { return pool.free_span_bytes(); }, .scan = scan};
}

// Compresses fast what is open; the background does it again thoroughly once the hurry is over.
Shrinker hot_blocks(FileSystem& fs, BlockStore& store, Pool& pool) {
  const auto scan = [&](Bytes) {
    const Bytes before = store.hot_bytes();
    const Bytes resident = pool.resident();
    fs.run_unfrozen([&] { return store.seal(kBlocksPerScan, true, Effort::kFast); });
    const Bytes after = store.hot_bytes();
    // Their spans went to the stock first; what they were compressed to has taken some.
    const Bytes released = fs.run_unfrozen([&] { return pool.release_free_spans(std::numeric_limits<Bytes>::max()); });
    const Bytes left = pool.resident();
    return ShrinkResult{.freed = std::min(released, resident > left ? resident - left : 0),
                        .moved = before > after ? before - after : 0,
                        .stuck = after >= before && after > 0};
  };
  return {.name = "hot_blocks",
          .cost = kHotBlocks,
          .level = PressureLevel::kFull,
          .count = [&store] { return store.hot_bytes(); },
          .scan = scan};
}

ShrinkResult compact(FileSystem& fs, Pool& pool, Bytes budget) {
  CompactResult result;
  fs.run_unfrozen([&] {
    result = pool.compact(budget, kCompactionPortion);
    return size_t(result.pages_freed);
  });
  return {.freed = result.pages_freed * kPageSize, .moved = result.bytes_moved, .stuck = result.stuck};
}

Shrinker compaction(FileSystem& fs, Pool& pool) {
  return {.name = std::string(kCompactionName),
          .cost = kCompaction,
          .count = [&pool] { return pool.compactable(); },
          .scan = [&](Bytes budget) { return compact(fs, pool, budget); }};
}

}  // namespace

std::vector<Shrinker> volume_shrinkers(FileSystem& fs, BlockStore& store, Pool& pool) {
  return {free_spans(fs, pool), hot_blocks(fs, store, pool), compaction(fs, pool)};
}

ReclaimReport compact_by_hand(Reclaimer& reclaimer, FileSystem& fs, Pool& pool) {
  ReclaimReport report = reclaimer.run({.time_max = ReclaimRequest::kByHandTimeMax, .only = kCompactionName});
  if (!report.parts.empty() || pool.compactable() == 0) return report;
  ShrinkResult result;
  do {
    result = compact(fs, pool, std::numeric_limits<Bytes>::max());
    report.freed += result.freed;
    report.moved += result.moved;
  } while (result.moved > 0);
  report.parts.push_back({std::string(kCompactionName), {report.freed, report.moved, result.stuck}});
  report.stuck = result.stuck && report.freed == 0;
  return report;
}

}  // namespace ztmpfs
