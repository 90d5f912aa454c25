// What a block costs: each codec at each block size, on text and on machine code, and the same-filled test.
#include <benchmark/benchmark.h>

#include "compress/codec_set.h"
#include "compress/same_filled.h"
#include "tests/compress/corpus.h"

namespace ztmpfs {
namespace {

constexpr size_t kCorpusSize = 4 << 20;

using Content = std::vector<std::byte>;

Content text() { return text_bytes(kCorpusSize, 1); }

Content program() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  Content bytes(std::min(kCorpusSize, content.size()) / 131072 * 131072);
  std::memcpy(bytes.data(), content.data(), bytes.size());
  return bytes;
}

// One pass over `content` in blocks; blocks that would not shrink are kept as they are. Returns the objects.
std::vector<Content> compress_all(const Codec& codec, const Content& content, size_t block) {
  std::vector<Content> objects;
  Content target(block);
  for (size_t at = 0; at + block <= content.size(); at += block) {
    const size_t size = codec.compress(std::span(content).subspan(at, block), target);
    objects.emplace_back(target.begin(), target.begin() + ptrdiff_t(size));
  }
  return objects;
}

void report(benchmark::State& state, const Content& content) {
  state.SetBytesProcessed(int64_t(state.iterations()) * int64_t(content.size()));
}

void compress(benchmark::State& state, const char* codec, Content (*make)()) {
  const CodecSet codecs(parse_codec(codec));
  const Content content = make();
  const auto block = size_t(state.range(0));
  size_t stored = 0;
  for (auto _ : state) {
    stored = 0;
    for (const Content& object : compress_all(*codecs.writer(), content, block))
      stored += object.empty() ? block : object.size();
  }
  report(state, content);
  state.counters["ratio"] = double(content.size()) / double(stored);
}

void decompress(benchmark::State& state, const char* codec, Content (*make)()) {
  const CodecSet codecs(parse_codec(codec));
  const Content content = make();
  const auto block = size_t(state.range(0));
  const auto objects = compress_all(*codecs.writer(), content, block);
  Content target(block);
  for (auto _ : state)
    for (const Content& object : objects)
      if (!object.empty()) benchmark::DoNotOptimize(codecs.writer()->decompress(object, target));
  report(state, content);
}

void find_same_filled(benchmark::State& state) {
  const Content zeros(size_t(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(same_filled(zeros));
  report(state, zeros);
}

void find_not_same_filled(benchmark::State& state) {
  const Content content = text_bytes(size_t(state.range(0)), 1);
  for (auto _ : state) benchmark::DoNotOptimize(same_filled(content));
}

void block_sizes(benchmark::internal::Benchmark* bench) { bench->RangeMultiplier(2)->Range(4 << 10, 128 << 10); }

BENCHMARK_CAPTURE(compress, lz4_text, "lz4", text)->Apply(block_sizes);
BENCHMARK_CAPTURE(compress, lz4_program, "lz4", program)->Apply(block_sizes);
BENCHMARK_CAPTURE(compress, zstd_text, "zstd", text)->Apply(block_sizes);
BENCHMARK_CAPTURE(compress, zstd_program, "zstd", program)->Apply(block_sizes);
BENCHMARK_CAPTURE(decompress, lz4_text, "lz4", text)->Apply(block_sizes);
BENCHMARK_CAPTURE(decompress, lz4_program, "lz4", program)->Apply(block_sizes);
BENCHMARK_CAPTURE(decompress, zstd_text, "zstd", text)->Apply(block_sizes);
BENCHMARK_CAPTURE(decompress, zstd_program, "zstd", program)->Apply(block_sizes);
BENCHMARK(find_same_filled)->Apply(block_sizes);
BENCHMARK(find_not_same_filled)->Apply(block_sizes);

}  // namespace
}  // namespace ztmpfs
