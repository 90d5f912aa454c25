// What the pool costs: taking and freeing objects with recycled and with fresh pages, pinning, giving memory back.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/image.h"
#include "pool/pool.h"
#include "tests/pool/build_tree_sizes.h"

namespace ztmpfs {
namespace {

struct Rig {
  explicit Rig(Bytes stock_max)
      : image(ImageFiles::create(
            {.capacity = kGiB, .block_size = 32 * kKiB, .request_slots = 1, .request_buffer_size = kPageSize})),
        arena(image.data(), budget),
        pool(image.region(RegionId::kHandles), arena, budget, stock_max) {}

  Image image;
  MemoryBudget budget{kGiB, 0};
  Arena arena;
  Pool pool;
};

const std::vector<std::byte>& payload() {
  static const std::vector<std::byte> bytes(kObjectSizeMax, std::byte{1});
  return bytes;
}

// Sizes as lz4 makes them of 32 KiB blocks of a build tree.
uint32_t block_like_size(std::mt19937& random) {
  const auto draw = uint32_t(random());
  return draw % 4 == 0 ? 1 + draw / 4 % 2000 : 8000 + draw / 4 % 20000;
}

void AllocateAndFree(benchmark::State& state, Bytes stock_max) {
  Rig rig(stock_max);
  const auto size = uint32_t(state.range(0));
  for (auto _ : state) {
    const Handle handle = rig.pool.allocate(size, 0, 0).value();
    std::memcpy(rig.pool.pin(handle).bytes().data(), payload().data(), size);
    rig.pool.free(handle);
  }
  state.SetBytesProcessed(int64_t(state.iterations()) * size);
}
BENCHMARK_CAPTURE(AllocateAndFree, recycled_pages, 64 * kMiB)->Arg(64)->Arg(1024)->Arg(4096)->Arg(32768)->Arg(131072);
BENCHMARK_CAPTURE(AllocateAndFree, fresh_pages, 0)->Arg(4096)->Arg(32768)->Arg(131072);

void AllocatePackedAndFree(benchmark::State& state, Bytes stock_max) {
  Rig rig(stock_max);
  const auto bytes = std::span(payload()).first(size_t(state.range(0)));
  for (auto _ : state) rig.pool.free(rig.pool.allocate_packed(bytes, 0, 0).value());
  state.SetBytesProcessed(int64_t(state.iterations() * bytes.size()));
}
BENCHMARK_CAPTURE(AllocatePackedAndFree, recycled_pages, 64 * kMiB)->Arg(100)->Arg(12000)->Arg(25000);
BENCHMARK_CAPTURE(AllocatePackedAndFree, fresh_pages, 0)->Arg(100)->Arg(12000)->Arg(25000);

void PinObject(benchmark::State& state) {
  Rig rig(0);
  std::vector<Handle> handles;
  const auto bytes = std::span(payload()).first(size_t(state.range(0)));
  for (int i = 0; i < 2000; ++i) handles.push_back(rig.pool.allocate_packed(bytes, 0, 0).value());
  size_t next = 0;
  for (auto _ : state) {
    const Pin pin = rig.pool.pin(handles[next++ % handles.size()]);
    benchmark::DoNotOptimize(pin.bytes().data());
  }
  state.SetItemsProcessed(int64_t(state.iterations()));
}
BENCHMARK(PinObject)->Arg(100)->Arg(12000)->Arg(25000)->Arg(32768);

// The pool that all threads of a run work on.
std::unique_ptr<Rig>& shared_rig() {
  static std::unique_ptr<Rig> rig;
  return rig;
}

// Replaces objects of a full pool in random order, several threads at once.
void ReplaceMix(benchmark::State& state) {
  Rig& rig = *shared_rig();
  std::mt19937 random(uint32_t(state.thread_index()));
  std::vector<Handle> handles(1500);
  int64_t bytes = 0;
  for (auto _ : state) {
    Handle& handle = handles[random() % handles.size()];
    if (handle != 0) rig.pool.free(handle);
    const uint32_t size = block_like_size(random);
    handle = rig.pool.allocate_packed(std::span(payload()).first(size), 0, 0).value();
    bytes += size;
  }
  for (const Handle handle : handles)
    if (handle != 0) rig.pool.free(handle);
  state.SetBytesProcessed(bytes);
}
BENCHMARK(ReplaceMix)
    ->Setup([](const benchmark::State&) { shared_rig() = std::make_unique<Rig>(16 * kMiB); })
    ->Teardown([](const benchmark::State&) { shared_rig().reset(); })
    ->ThreadRange(1, 2)
    ->UseRealTime();

// All objects of a pool of 200 MB, freed in random order: how fast memory returns to the OS.
void FreeEverything(benchmark::State& state) {
  Rig rig(Bytes(state.range(0)));
  std::mt19937 random(1);
  int64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Handle> handles;
    while (rig.pool.stats().payload < 200'000'000)
      handles.push_back(rig.pool.allocate_packed(std::span(payload()).first(block_like_size(random)), 0, 0).value());
    std::shuffle(handles.begin(), handles.end(), random);
    bytes += int64_t(rig.pool.stats().payload);
    state.ResumeTiming();
    for (const Handle handle : handles) rig.pool.free(handle);
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(FreeEverything)->Arg(0)->Arg(64 * kMiB)->Unit(benchmark::kMillisecond);

// 256 MiB of the objects of a build tree, a random half of them freed.
void CompactHalfFreed(benchmark::State& state) {
  Rig rig(0);
  std::mt19937 random(1);
  std::vector<Handle> handles;
  CompactResult total;
  for (auto _ : state) {
    state.PauseTiming();
    while (rig.pool.stats().payload < 256 * kMiB) {
      const uint32_t size = kBuildTreeSizes[random() % kBuildTreeSizes.size()];
      handles.push_back(rig.pool.allocate_packed(std::span(payload()).first(size), 0, 0).value());
    }
    std::shuffle(handles.begin(), handles.end(), random);
    for (size_t half = handles.size() / 2; half > 0; --half) {
      rig.pool.free(handles.back());
      handles.pop_back();
    }
    state.ResumeTiming();
    const CompactResult result = rig.pool.compact();
    total.pages_freed += result.pages_freed;
    total.bytes_moved += result.bytes_moved;
  }
  state.SetBytesProcessed(int64_t(total.bytes_moved));
  state.counters["freed_per_run_MiB"] =
      benchmark::Counter(double(total.pages_freed * kPageSize) / double(kMiB), benchmark::Counter::kAvgIterations);
  state.counters["moved_per_page"] = double(total.bytes_moved) / double(total.pages_freed);
}
BENCHMARK(CompactHalfFreed)->Unit(benchmark::kMillisecond);

void Attach(benchmark::State& state) {
  Rig rig(0);
  std::mt19937 random(1);
  for (int i = 0; i < state.range(0); ++i)
    (void)rig.pool.allocate_packed(std::span(payload()).first(block_like_size(random) % 4000 + 1), 0, 0).value();
  for (auto _ : state) {
    MemoryBudget budget(kGiB, 0);
    Arena arena(rig.image.data(), budget);
    Pool pool(rig.image.region(RegionId::kHandles), arena, budget, 0);
    pool.attach([](Handle, const HandleRecord&) { return true; });
  }
  state.SetItemsProcessed(state.range(0) * int64_t(state.iterations()));
}
BENCHMARK(Attach)->Arg(10000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ztmpfs
