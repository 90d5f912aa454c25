// The tree without FUSE: what a request costs once it has been read.
#include <benchmark/benchmark.h>

#include <string>

#include "fs/volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

struct Rig {
  static VolumeOptions options() {
    VolumeOptions options;
    options.count_heaps = false;
    return options;
  }
  Rig() : volume(ImageFiles::create({.capacity = kGiB}), options(), clock) {}

  template <class Request>
  auto run(Request&& request) {
    Operation op(volume.image(), request_record(volume.image(), 0), {});
    auto result = request(op);
    op.end();
    return result;
  }
  void forget(uint64_t ino, uint64_t lookups) {
    Operation op(volume.image(), request_record(volume.image(), 0), {});
    const Forget item{ino, lookups};
    volume.fs().forget(op, std::span(&item, 1));
    op.end();
  }

  SystemClock clock;
  Volume volume;
};

// As a compiler does it: create, write 4 KiB, unlink, and the kernel forgets.
void create_write_unlink(benchmark::State& state) {
  Rig rig;
  FileSystem& fs = rig.volume.fs();
  const std::vector<std::byte> data(4096, std::byte('x'));
  for (auto _ : state) {
    const uint64_t ino = rig.run([&](Operation& op) { return fs.create(op, kRoot, "file.o", 0644, false); })->ino;
    rig.run([&](Operation& op) { return fs.write(op, ino, 0, data); });
    rig.run([&](Operation& op) { return fs.unlink(op, kRoot, "file.o"); });
    rig.forget(ino, 1);
  }
  state.SetItemsProcessed(int64_t(state.iterations()));
}
BENCHMARK(create_write_unlink);

void lookup(benchmark::State& state) {
  Rig rig;
  FileSystem& fs = rig.volume.fs();
  for (int i = 0; i < state.range(0); ++i)
    rig.run([&](Operation& op) { return fs.create(op, kRoot, "file" + std::to_string(i), 0644, false); });
  int i = 0;
  for (auto _ : state) {
    const std::string name = "file" + std::to_string(i++ % state.range(0));
    benchmark::DoNotOptimize(rig.run([&](Operation& op) { return fs.lookup(op, kRoot, name); }));
  }
  state.SetItemsProcessed(int64_t(state.iterations()));
}
BENCHMARK(lookup)->Arg(100)->Arg(100'000);

void rename_over(benchmark::State& state) {
  Rig rig;
  FileSystem& fs = rig.volume.fs();
  uint64_t target = rig.run([&](Operation& op) { return fs.create(op, kRoot, "target", 0644, false); })->ino;
  for (auto _ : state) {
    const uint64_t source = rig.run([&](Operation& op) { return fs.create(op, kRoot, "source", 0644, false); })->ino;
    rig.run([&](Operation& op) { return fs.rename(op, kRoot, "source", kRoot, "target", 0); });
    rig.forget(target, 1);
    target = source;
  }
  state.SetItemsProcessed(int64_t(state.iterations()));
}
BENCHMARK(rename_over);

void getattr(benchmark::State& state) {
  Rig rig;
  for (auto _ : state) benchmark::DoNotOptimize(rig.volume.fs().getattr(kRoot));
}
BENCHMARK(getattr);

void readdir(benchmark::State& state) {
  Rig rig;
  FileSystem& fs = rig.volume.fs();
  for (int i = 0; i < 1000; ++i)
    rig.run([&](Operation& op) { return fs.create(op, kRoot, "file" + std::to_string(i), 0644, false); });
  for (auto _ : state) {
    size_t entries = 0;
    benchmark::DoNotOptimize(fs.readdir(kRoot, 0, [&](const DirectoryEntry&) { return ++entries > 0; }));
  }
  state.SetItemsProcessed(int64_t(state.iterations() * 1002));
}
BENCHMARK(readdir);

}  // namespace
}  // namespace ztmpfs
