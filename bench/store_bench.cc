// The block store without a file system: what a write, a read and sealing cost.
#include "store/block_store.h"

#include <benchmark/benchmark.h>

#include <random>

#include "compress/codec_set.h"

namespace ztmpfs {
namespace {

constexpr Bytes kBlockSize = 32 * kKiB;

std::vector<std::byte> text(size_t size) {
  std::mt19937 random(1);
  std::vector<std::byte> bytes(size);
  static constexpr std::string_view kWords = "static int return struct const char void if for while break ";
  for (size_t i = 0; i < size;) {
    const size_t word = random() % (kWords.size() - 8);
    for (size_t j = 0; j < 8 && i < size; ++j) bytes[i++] = std::byte(kWords[word + j]);
  }
  return bytes;
}

struct Rig {
  Rig()
      : image(ImageFiles::create({.capacity = kGiB, .block_size = kBlockSize})),
        budget(kGiB, kMiB),
        arena(image.data(), budget),
        pool(image.region(RegionId::kHandles), arena, budget, 64 * kMiB),
        store(image.region(RegionId::kBlocks), pool, budget,
              {fast.writer(), thorough.writer(), [this](CodecId id) { return thorough.reader(id); }}, clock,
              {.block_size = kBlockSize, .hot_limit = kGiB}) {
    store.attach([](BlockStore::OwnerId, uint64_t) { return true; });
  }

  SystemClock clock;
  CodecSet fast{CodecChoice{CodecId::kLz4, 1}};
  CodecSet thorough{CodecChoice{CodecId::kZstd, 3}};
  Image image;
  MemoryBudget budget;
  Arena arena;
  Pool pool;
  BlockStore store;
};

// A file is written and removed before it turns cold: nothing is compressed, memory is recycled.
void write_and_drop(benchmark::State& state) {
  Rig rig;
  const auto data = text(size_t(state.range(0)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(rig.store.write(1, 0, data));
    while (!rig.store.truncate(1, 0, kMiB)) {
    }
  }
  state.SetBytesProcessed(int64_t(state.iterations() * data.size()));
}
BENCHMARK(write_and_drop)->Arg(100)->Arg(4096)->Arg(32768)->Arg(1 << 20);

void write_in_place(benchmark::State& state) {
  Rig rig;
  const auto data = text(4096);
  rig.store.write(1, 0, text(kMiB));
  uint64_t offset = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(rig.store.write(1, offset, data));
    offset = (offset + 4096) % kMiB;
  }
  state.SetBytesProcessed(int64_t(state.iterations() * data.size()));
}
BENCHMARK(write_in_place);

// 0: open, 1: sealed fast, 2: sealed thoroughly.
void read(benchmark::State& state) {
  Rig rig;
  rig.store.write(1, 0, text(8 * kMiB));
  if (state.range(0) != 0) rig.store.seal(1000, true, state.range(0) == 1 ? Effort::kFast : Effort::kThorough);
  std::vector<std::byte> target(size_t(state.range(1)));
  uint64_t offset = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(rig.store.read(1, offset, target));
    offset = (offset + target.size()) % (8 * kMiB);
  }
  state.SetBytesProcessed(int64_t(state.iterations() * target.size()));
}
BENCHMARK(read)->ArgsProduct({{0, 1, 2}, {4096, 1 << 20}});

void seal(benchmark::State& state) {
  Rig rig;
  const auto data = text(kMiB);
  const Effort effort = state.range(0) == 0 ? Effort::kFast : Effort::kThorough;
  for (auto _ : state) {
    state.PauseTiming();
    rig.store.write(1, 0, data);
    state.ResumeTiming();
    benchmark::DoNotOptimize(rig.store.seal(1000, true, effort));
  }
  state.SetBytesProcessed(int64_t(state.iterations() * data.size()));
  state.counters["ratio"] = double(data.size()) / double(rig.store.stored_bytes(1));
}
BENCHMARK(seal)->Arg(0)->Arg(1);

}  // namespace
}  // namespace ztmpfs
