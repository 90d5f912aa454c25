#include "fuse/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace ztmpfs {

namespace {

using Bounds = std::array<int64_t, LatencyHistogram::kBounds>;

constexpr Bounds make_bounds() {
  Bounds bounds{};
  int64_t decade = 1000;
  for (size_t at = 0; at < bounds.size(); ++at) {
    constexpr std::array<int64_t, 3> kSteps{1, 2, 5};
    bounds[at] = decade * kSteps[at % 3];
    if (at % 3 == 2) decade *= 10;
  }
  return bounds;
}

constexpr Bounds kTimes = make_bounds();
static_assert(kTimes.front() == 1'000 && kTimes.back() == 10'000'000'000);

// For each number of significant bits the first bucket that such a time may belong to: two more at most are to be
// tried.
constexpr auto kFirst = [] {
  std::array<uint8_t, 65> first{};
  for (size_t bits = 1; bits < first.size(); ++bits) {
    const uint64_t smallest = uint64_t(1) << (bits - 1);
    while (first[bits] < kTimes.size() && smallest > uint64_t(kTimes[first[bits]])) ++first[bits];
  }
  return first;
}();

}  // namespace

LatencyHistogram::Nanoseconds LatencyHistogram::bound(size_t bucket) { return Nanoseconds(kTimes[bucket]); }

size_t LatencyHistogram::bucket_of(Nanoseconds time) {
  const auto value = uint64_t(std::max<int64_t>(time.count(), 0));
  size_t bucket = kFirst[size_t(std::bit_width(value))];
  while (bucket < kTimes.size() && value > uint64_t(kTimes[bucket])) ++bucket;
  return bucket;
}

uint64_t LatencyHistogram::count() const { return std::accumulate(counts.begin(), counts.end(), uint64_t(0)); }

LatencyHistogram::Nanoseconds LatencyHistogram::quantile(double share) const {
  const double rank = share * double(count());
  double below = 0;
  for (size_t bucket = 0; bucket < kBounds; ++bucket) {
    const auto here = double(counts[bucket]);
    if (here > 0 && below + here >= rank) {
      const double from = bucket == 0 ? 0 : double(kTimes[bucket - 1]);
      const double part = std::max(rank - below, 0.0) / here;
      return Nanoseconds(int64_t(from + (double(kTimes[bucket]) - from) * part));
    }
    below += here;
  }
  return Nanoseconds(below < double(count()) ? kTimes.back() : 0);
}

}  // namespace ztmpfs
