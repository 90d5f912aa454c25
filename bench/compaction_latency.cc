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
#include <fstream>
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
  size_t samples = 20'000;  // per kind and condition, at least
  int rounds_min = 10;
  int tries_max = 100;
  double starved_max = 0.1;  // share of a compaction's time in which it may wait for a CPU
};

// Time that the calling thread was ready to run but had no CPU (Documentation/scheduler/sched-stats.rst).
Nanoseconds starved() {
  Nanoseconds ran = 0;
  Nanoseconds waited = 0;
  std::ifstream("/proc/thread-self/schedstat") >> ran >> waited;
  return waited;
}

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

struct Round {
  Samples without;
  Samples during;
  CompactResult compacted;
  Nanoseconds time = 0;
  Nanoseconds starved = 0;  // of the compactor
};

// `samples`: how many to take per kind without.
Round run_round(FragmentedPool& rig, size_t samples) {
  rig.fragment();
  Worker worker(rig);
  Round round;
  for (size_t i = 0; i < kWarmUp; ++i) worker.run(Kind(i % kKinds));
  size_t left = samples * kKinds;
  sample_while(worker, round.without, [&] { return left-- > 0; });
  std::atomic<bool> begun = false;
  std::atomic<bool> ended = false;
  std::thread compactor([&] {
    const Nanoseconds starved_before = starved();
    begun = true;
    const Nanoseconds start = now();
    round.compacted = rig.pool().compact();
    round.time = now() - start;
    ended = true;
    round.starved = starved() - starved_before;
  });
  while (!begun) std::this_thread::yield();
  sample_while(worker, round.during, [&] { return !ended; });
  compactor.join();
  return round;
}

struct Outcome {
  Samples without;
  Samples during;
  CompactResult compacted;
  Nanoseconds time = 0;
  int rounds = 0;

  void add(const Round& round) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      without[kind].insert(without[kind].end(), round.without[kind].begin(), round.without[kind].end());
      during[kind].insert(during[kind].end(), round.during[kind].begin(), round.during[kind].end());
    }
    compacted.pages_freed += round.compacted.pages_freed;
    compacted.bytes_moved += round.compacted.bytes_moved;
    time += round.time;
    ++rounds;
  }
};

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
  std::printf("%d compactions, %.1f ms and %.1f MiB freed each, %.0f bytes moved per page freed\n", outcome.rounds,
              double(outcome.time) / outcome.rounds / 1e6,
              double(outcome.compacted.pages_freed * kPageSize) / outcome.rounds / double(kMiB),
              double(outcome.compacted.bytes_moved) / double(outcome.compacted.pages_freed));
  return is_met;
}

enum class Verdict { kMet, kMissed, kUnknown };

Verdict measure(const char* title, DrawSize draw_size, const Plan& plan) {
  FragmentedPool rig(plan.fill, draw_size);
  Outcome outcome;
  const auto is_enough = [&] {
    return outcome.rounds >= plan.rounds_min && outcome.during.back().size() >= plan.samples;
  };
  int tries = 0;
  for (size_t samples = kWarmUp; tries < plan.tries_max && !is_enough(); ++tries) {
    const Round round = run_round(rig, samples);
    samples = std::clamp(round.during.back().size(), kWarmUp, 50 * kWarmUp);
    if (double(round.starved) <= plan.starved_max * double(round.time)) outcome.add(round);
  }
  std::printf("%llu MiB of %s, half freed; bar: p99 while compacting <= %.0f x p99 without\n",
              static_cast<unsigned long long>(plan.fill / kMiB), title, kBar);
  const bool is_met = outcome.rounds > 0 && report(outcome);
  std::printf("%d of %d rounds count: in the others the compactor waited for a CPU for more than %.0f %% of its time\n",
              outcome.rounds, tries, 100 * plan.starved_max);
  if (!is_enough()) std::printf("UNKNOWN: the machine is too busy to tell\n");
  std::printf("\n");
  if (!is_enough()) return Verdict::kUnknown;
  return is_met ? Verdict::kMet : Verdict::kMissed;
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** arguments) {
  using ztmpfs::Verdict;
  const bool is_quick = count == 2 && std::string_view(arguments[1]) == "--quick";
  if (count > 2 || (count == 2 && !is_quick)) {
    std::fputs("usage: compaction_latency [--quick]\n", stderr);
    return 2;
  }
  const auto plan = is_quick ? ztmpfs::Plan{16 * ztmpfs::kMiB, 10, 1, 3, 1} : ztmpfs::Plan{};
  const Verdict mix = ztmpfs::measure("a build tree's objects", ztmpfs::build_tree_size, plan);
  const Verdict one = ztmpfs::measure("objects of one class", ztmpfs::one_size, plan);
  // A run of a fraction of a second says nothing about percentiles.
  if (is_quick) return 0;
  if (mix == Verdict::kMissed || one == Verdict::kMissed) return 1;
  return mix == Verdict::kMet && one == Verdict::kMet ? 0 : 3;
}
