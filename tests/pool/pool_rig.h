#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/image.h"
#include "base/memory_usage.h"
#include "pool/pool.h"

namespace ztmpfs {

/// An image with an arena of 256 MiB of address space.
inline ImageFiles pool_image() {
  return ImageFiles::create(
      {.capacity = 64 * kMiB, .block_size = 32 * kKiB, .request_slots = 1, .request_buffer_size = kPageSize});
}

/// A pool with all that it stands on. Several may follow each other on one image, as server processes do.
struct PoolRig {
  explicit PoolRig(const Image& on_image, Bytes limit = kGiB, Bytes stock_max = 0)
      : image(on_image),
        budget(limit, 0),
        arena(image.data(), budget),
        pool(image.region(RegionId::kHandles), arena, budget, stock_max) {}

  /// What the pool's audit finds, and whether the budget and the kernel agree with the pool's counters.
  std::vector<std::string> audit() const {
    auto breaches = pool.audit();
    const PoolStats stats = pool.stats();
    if (budget.used() != stats.resident() + stats.handle_bytes) breaches.push_back("the budget's charge is wrong");
    if (allocated_memory(image.files().data.get()) != stats.resident())
      breaches.push_back("the kernel counts other memory than the pool");
    return breaches;
  }

  const Image& image;
  MemoryBudget budget;
  Arena arena;
  Pool pool;
};

/// Bytes that follow from a seed.
inline std::vector<std::byte> seeded_bytes(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = std::byte(random());
  return bytes;
}

inline void write(Pool& pool, Handle handle, const std::vector<std::byte>& bytes) {
  std::memcpy(pool.pin(handle).bytes().data(), bytes.data(), bytes.size());
}

inline std::vector<std::byte> read(const Pool& pool, Handle handle) {
  const Pin pin = pool.pin(handle);
  return {pin.bytes().begin(), pin.bytes().end()};
}

/// The sizes of compressed blocks of 32 KiB in a build tree, roughly: a quarter small files and tails, the rest
/// from 8 to 28 KiB.
template <class Random>
uint32_t block_like_size(Random& random) {
  const auto draw = uint32_t(random());
  return draw % 4 == 0 ? 1 + draw / 4 % 2000 : 8000 + draw / 4 % 20000;
}

}  // namespace ztmpfs
