// "Work goes on": what compaction of a fragmented pool costs those who read and write meanwhile.
// usage: compaction_latency [--quick]
//
// A worker thread reads (pin, copy) and writes (allocate, fill, free) objects, in turn in classes that are compacted
// and in one that is not, while another thread compacts or sleeps. Both conditions alternate; the pool is fragmented
// anew before each pair. Exit status 1 if the 99th percentile while compacting is more than three times the one
// without.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "base/image.h"
#include "pool/pool.h"
#include "tests/pool/build_tree_sizes.h"

namespace ztmpfs {
namespace {

using Nanoseconds = uint64_t;

constexpr double kBar = 3;
constexpr size_t kWarmUp = 2000;
// Of the class that is never compacted: the pool below has no slots of this size, and it is full.
constexpr uint32_t kOtherSize = 700;
// Of the pool with one class: two objects and a half in a page.
constexpr uint32_t kOneSize = 1600;
constexpr size_t kReadersObjects = 4000;

Nanoseconds now() {
  return Nanoseconds(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

// Sizes of the objects of a build tree.
uint32_t build_tree_size(std::mt19937_64& random) {
  const size_t at = random() % (kBuildTreeSizes.size() - 1);
  return kBuildTreeSizes[at] + uint32_t(random() % (1 + kBuildTreeSizes[at + 1] - kBuildTreeSizes[at]));
}

uint32_t one_size(std::mt19937_64&) { return kOneSize; }

using DrawSize = uint32_t (*)(std::mt19937_64&);

struct Plan {
  Bytes fill = 256 * kMiB;
  size_t samples = 30'000;  // per kind and condition, at least
  int rounds_min = 10;
};

class FragmentedPool {
 public:
  FragmentedPool(Bytes fill, DrawSize draw_size)
      : fill_(fill),
        draw_size_(draw_size),
        image_(ImageFiles::create(
            {.capacity = kGiB, .block_size = 32 * kKiB, .request_slots = 1, .request_buffer_size = kPageSize})),
        arena_(image_.data(), budget_),
        pool_(image_.region(RegionId::kHandles), arena_, budget_, 16 * kMiB) {
    for (size_t i = 0; i < kReadersObjects; ++i) others_.push_back(add(kOtherSize));
  }

  // Fills the pool up, then frees a random half.
  void fragment() {
    while (pool_.stats().payload < fill_) objects_.push_back(add(draw_size_(random_)));
    std::ranges::shuffle(objects_, random_);
    for (size_t half = objects_.size() / 2; half > 0; --half) {
      pool_.free(objects_.back());
      objects_.pop_back();
    }
    pool_.release_free_spans(fill_);
  }

  Pool& pool() { return pool_; }
  uint32_t new_size() { return draw_size_(random_); }
  Handle any_object() { return objects_[random_() % objects_.size()]; }
  Handle any_other() { return others_[random_() % others_.size()]; }
  std::span<const std::byte> contents(uint32_t size) const { return std::span(payload_).first(size); }

 private:
  Handle add(uint32_t size) { return pool_.allocate_packed(contents(size), 0, 0).value(); }

  const Bytes fill_;
  const DrawSize draw_size_;
  std::mt19937_64 random_{1};
  const std::vector<std::byte> payload_ = std::vector<std::byte>(kObjectSizeMax, std::byte{1});
  Image image_;
  MemoryBudget budget_{kGiB, 0};
  Arena arena_;
  Pool pool_;
  std::vector<Handle> objects_;
  std::vector<Handle> others_;
};

enum Kind : size_t { kReadSame, kWriteSame, kReadOther, kWriteOther, kKinds };
constexpr std::array<const char*, kKinds> kKindNames{"read, classes compacted", "write, classes compacted",
                                                     "read, another class", "write, another class"};
using Samples = std::array<std::vector<Nanoseconds>, kKinds>;

class Worker {
 public:
  explicit Worker(FragmentedPool& rig) : rig_(rig), target_(kObjectSizeMax) {}

  Nanoseconds run(Kind kind) {
    switch (kind) {
      case kReadSame: return read(rig_.any_object());
      case kReadOther: return read(rig_.any_other());
      case kWriteSame: return write(rig_.new_size());
      default: return write(kOtherSize);
    }
  }

 private:
  Nanoseconds read(Handle handle) {
    const Nanoseconds start = now();
    const Pin pin = rig_.pool().pin(handle);
    std::memcpy(target_.data(), pin.bytes().data(), pin.bytes().size());
    return now() - start;
  }

  Nanoseconds write(uint32_t size) {
    const Nanoseconds start = now();
    rig_.pool().free(rig_.pool().allocate_packed(rig_.contents(size), 0, 0).value());
    return now() - start;
  }

  FragmentedPool& rig_;
  std::vector<std::byte> target_;
};

void sample_while(Worker& worker, Samples& samples, const auto& go_on) {
  for (size_t kind = 0; go_on(); kind = (kind + 1) % kKinds) samples[kind].push_back(worker.run(Kind(kind)));
}

struct Outcome {
  Samples without;
  Samples during;
  CompactResult compacted;
  Nanoseconds time = 0;
  int rounds = 0;
};

void run_round(FragmentedPool& rig, Outcome& outcome) {
  rig.fragment();
  Worker worker(rig);
  for (size_t i = 0; i < kWarmUp; ++i) worker.run(Kind(i % kKinds));
  // As many as the last compaction gave.
  size_t left = std::max(outcome.during[0].size() - outcome.without[0].size(), kWarmUp) * kKinds;
  sample_while(worker, outcome.without, [&] { return left-- > 0; });
  std::atomic<bool> begun = false;
  std::atomic<bool> ended = false;
  std::thread compactor([&] {
    begun = true;
    const Nanoseconds start = now();
    const CompactResult result = rig.pool().compact();
    outcome.time += now() - start;
    outcome.compacted.pages_freed += result.pages_freed;
    outcome.compacted.bytes_moved += result.bytes_moved;
    ended = true;
  });
  while (!begun) std::this_thread::yield();
  sample_while(worker, outcome.during, [&] { return !ended; });
  compactor.join();
  ++outcome.rounds;
}

Nanoseconds percentile(std::vector<Nanoseconds>& samples, double share) {
  const auto at = samples.begin() + ptrdiff_t(share * double(samples.size() - 1));
  std::nth_element(samples.begin(), at, samples.end());
  return *at;
}

// Prints one line per kind; whether all met the bar.
bool report(Outcome& outcome) {
  bool is_met = true;
  std::printf("%-26s %8s  %-31s %-31s ratios\n%-26s %8s  %-31s %-31s %5s %5s %5s\n", "", "", "without, us",
              "while compacting, us", "", "samples", "   p50     p99   p99.9     max", "   p50     p99   p99.9     max",
              "p50", "p99", "p99.9");
  for (size_t kind = 0; kind < kKinds; ++kind) {
    std::array<std::array<double, 4>, 2> us{};
    for (const bool during : {false, true}) {
      auto& samples = (during ? outcome.during : outcome.without)[kind];
      for (size_t i = 0; i < 4; ++i)
        us[during][i] = double(percentile(samples, std::array{0.5, 0.99, 0.999, 1.0}[i])) / 1000;
    }
    const bool is_kind_met = us[1][1] <= kBar * us[0][1];
    is_met &= is_kind_met;
    std::printf("%-26s %8zu %7.2f %7.2f %7.1f %7.0f %7.2f %7.2f %7.1f %7.0f  %5.2f %5.2f %5.2f  %s\n", kKindNames[kind],
                outcome.during[kind].size(), us[0][0], us[0][1], us[0][2], us[0][3], us[1][0], us[1][1], us[1][2],
                us[1][3], us[1][0] / us[0][0], us[1][1] / us[0][1], us[1][2] / us[0][2], is_kind_met ? "PASS" : "FAIL");
  }
  std::printf("%d compactions, %.1f ms and %.1f MiB freed each, %.0f bytes moved per page freed\n\n", outcome.rounds,
              double(outcome.time) / outcome.rounds / 1e6,
              double(outcome.compacted.pages_freed * kPageSize) / outcome.rounds / double(kMiB),
              double(outcome.compacted.bytes_moved) / double(outcome.compacted.pages_freed));
  return is_met;
}

bool measure(const char* title, DrawSize draw_size, const Plan& plan) {
  FragmentedPool rig(plan.fill, draw_size);
  Outcome outcome;
  while (outcome.rounds < plan.rounds_min || outcome.during[0].size() < plan.samples) run_round(rig, outcome);
  std::printf("%llu MiB of %s, half freed; bar: p99 while compacting <= %.0f x p99 without\n",
              static_cast<unsigned long long>(plan.fill / kMiB), title, kBar);
  return report(outcome);
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** arguments) {
  const bool is_quick = count == 2 && std::string_view(arguments[1]) == "--quick";
  if (count > 2 || (count == 2 && !is_quick)) {
    std::fputs("usage: compaction_latency [--quick]\n", stderr);
    return 2;
  }
  const auto plan = is_quick ? ztmpfs::Plan{16 * ztmpfs::kMiB, 10, 1} : ztmpfs::Plan{};
  const bool mix = ztmpfs::measure("a build tree's objects", ztmpfs::build_tree_size, plan);
  const bool one = ztmpfs::measure("objects of one class", ztmpfs::one_size, plan);
  // A run of a fraction of a second on a busy machine says nothing about percentiles.
  return is_quick || (mix && one) ? 0 : 1;
}
