#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "fuse/latency_histogram.h"
#include "fuse/opcodes.h"

namespace ztmpfs {

/// How long one reader's requests took, by opcode. One thread records, any thread reads: neither waits, and readers
/// share no cache line. In process memory: a new server begins at zero.
class alignas(64) LatencyRecorder {
 public:
  /// `opcode` is below kOpcodeCount. About 2 ns.
  void record(uint32_t opcode, std::chrono::nanoseconds time) {
    Row& row = rows_[opcode];
    increase(row.counts[LatencyHistogram::bucket_of(time)], 1);
    increase(row.nanoseconds, uint64_t(time.count()));
  }

  /// Adds what was recorded of an opcode. What is being recorded meanwhile may be in the sum and not in the counts.
  void add_to(LatencyHistogram& histogram, uint32_t opcode) const {
    const Row& row = rows_[opcode];
    for (size_t bucket = 0; bucket < row.counts.size(); ++bucket)
      histogram.counts[bucket] += row.counts[bucket].load(std::memory_order_relaxed);
    histogram.sum += std::chrono::nanoseconds(row.nanoseconds.load(std::memory_order_relaxed));
  }

 private:
  struct Row {
    std::array<std::atomic<uint64_t>, LatencyHistogram::kBuckets> counts{};
    std::atomic<uint64_t> nanoseconds = 0;
  };

  // One writer, so no locked instruction is needed.
  static void increase(std::atomic<uint64_t>& counter, uint64_t by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  std::array<Row, kOpcodeCount> rows_;
};

}  // namespace ztmpfs
