#include "fs/shrinkers.h"

#include <algorithm>
#include <limits>

namespace ztmpfs {

namespace {

// Costs, with room between them for those that come later. Compaction goes last: the objects that sealing makes fill
// free slots, and what is filled need not be moved.
enum Cost : unsigned { kFreeSpans = 10, kHotBlocks = 30, kCompaction = 40 };

constexpr size_t kBlocksPerScan = 64;

Shrinker free_spans(Pool& pool) {
  return {.name = "free_spans",
          .cost = kFreeSpans,
          .count = [&pool] { return pool.free_span_bytes(); },
          .scan = [&pool](Bytes budget) { return ShrinkResult{.freed = pool.release_free_spans(budget)}; }};
}

// Compresses fast what is open; the background does it again thoroughly once the hurry is over.
Shrinker hot_blocks(FileSystem& fs, BlockStore& store, Pool& pool) {
  const auto scan = [&](Bytes) {
    const Bytes before = store.hot_bytes();
    const Bytes resident = pool.resident();
    fs.run_unfrozen([&] { return store.seal(kBlocksPerScan, true, Effort::kFast); });
    const Bytes after = store.hot_bytes();
    // Their spans went to the stock first; what they were compressed to has taken some.
    const Bytes released = pool.release_free_spans(std::numeric_limits<Bytes>::max());
    const Bytes left = pool.resident();
    return ShrinkResult{.freed = std::min(released, resident > left ? resident - left : 0),
                        .moved = before > after ? before - after : 0,
                        .stuck = after >= before && after > 0};
  };
  return {.name = "hot_blocks", .cost = kHotBlocks, .count = [&store] { return store.hot_bytes(); }, .scan = scan};
}

Shrinker compaction(FileSystem& fs, Pool& pool) {
  const auto scan = [&](Bytes budget) {
    CompactResult result;
    fs.run_unfrozen([&] {
      result = pool.compact(budget);
      return size_t(result.pages_freed);
    });
    return ShrinkResult{.freed = result.pages_freed * kPageSize, .moved = result.bytes_moved, .stuck = result.stuck};
  };
  return {.name = std::string(kCompactionShrinker),
          .cost = kCompaction,
          .count = [&pool] { return pool.compactable(); },
          .scan = scan};
}

}  // namespace

std::vector<Shrinker> volume_shrinkers(FileSystem& fs, BlockStore& store, Pool& pool) {
  return {free_spans(pool), hot_blocks(fs, store, pool), compaction(fs, pool)};
}

}  // namespace ztmpfs
