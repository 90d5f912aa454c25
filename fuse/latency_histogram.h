#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ztmpfs {

/// How long things took: counts by ranges, 1-2-5 from a microsecond to ten seconds.
struct LatencyHistogram {
  using Nanoseconds = std::chrono::nanoseconds;
  static constexpr size_t kBounds = 22;
  static constexpr size_t kBuckets = kBounds + 1;

  /// The longest time that the bucket counts; there is none for the last one.
  static Nanoseconds bound(size_t bucket);
  /// Where a time belongs; a negative one into the first.
  static size_t bucket_of(Nanoseconds time);

  std::array<uint64_t, kBuckets> counts{};
  Nanoseconds sum{0};

  uint64_t count() const;
  /// About the time that the part `share` (0 to 1) did not exceed: within the bucket they are taken to lie evenly, as
  /// Prometheus' histogram_quantile() does. Nothing above the last bound; 0 without any.
  Nanoseconds quantile(double share) const;
};

}  // namespace ztmpfs
