// Servers are killed at random instants while clients work; nothing is lost, nothing done twice, and each invariant
// holds. ZTMPFS_CRASH_KILLS and ZTMPFS_CRASH_SEED (environment) repeat a run or make a longer one.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/crash/aimed_kill.h"
#include "tests/crash/server_launcher.h"
#include "tests/crash/small_files.h"
#include "tests/crash/workload.h"
#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

// Sanitizers make each attach many times slower: then a file of 256 MiB has to do.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kLargeFileBlocks = 8192;
#elif defined(__has_feature)
constexpr uint64_t kLargeFileBlocks =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ? 8192 : 131'072;
#else
constexpr uint64_t kLargeFileBlocks = 131'072;
#endif
// Of the kills, one in so many hits between a reply and the end of its request.
constexpr uint64_t kSuicideShare = 5;

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// One in so many hits a compaction, at any moment of it.
constexpr uint64_t kCompactionShare = 5;
constexpr uint64_t kCompactionMicroseconds = 20;
// And one in so many where durable records change, up to 2^12 instructions after a function is entered.
constexpr uint64_t kAimedShare = 3;
constexpr uint64_t kInstructionsLog = 13;

// Everything small and soon, so that a few milliseconds see each form of a block and each kind of background work.
VolumeOptions busy_volume() {
  VolumeOptions options = small_volume();
  options.hot = 2 * kMiB;
  options.free_span_stock = kMiB;
  options.cold_age = std::chrono::milliseconds(3);
  options.workers = 2;
  return options;
}

// Works until told to stop, or until something is wrong.
template <class Work>
class Client {
 public:
  Client(FakeKernel& kernel, uint64_t seed, const std::string& directory) : work_(kernel, seed, directory) {
    work_.begin();
  }
  ~Client() { stop(); }

  void start() {
    is_stopping_ = false;
    thread_ = std::thread([this] {
      try {
        while (!is_stopping_) work_.step();
      } catch (const std::exception& error) {
        failure_ = error.what();
        has_failed_ = true;
      }
    });
  }
  // What went wrong, if anything.
  std::string stop() {
    is_stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return failure_;
  }
  bool has_failed() const { return has_failed_; }
  Work& work() { return work_; }

 private:
  Work work_;
  std::thread thread_;
  std::atomic<bool> is_stopping_ = false;
  std::atomic<bool> has_failed_ = false;
  std::string failure_;
};

// A server, killed and started again by a seed.
class Executioner {
 public:
  Executioner(ServerLauncher& launcher, bool can_aim, uint64_t seed)
      : launcher_(launcher), can_aim_(can_aim), random_(seed) {}

  void kill_once(std::chrono::microseconds longest) {
    if (dies_by_itself_) {
      launcher_.await_death();
    } else if (random_() % kCompactionShare == 0) {
      launcher_.kill_within_compaction(uint32_t(random_() % kCompactionMicroseconds));
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(random_() % uint64_t(longest.count())));
      launcher_.kill();
    }
    ++kills_;
    if (can_aim_ && random_() % kAimedShare == 0) {
      launcher_.start_and_kill_within(any_step(), uint32_t(random_() % (1u << random_() % kInstructionsLog)));
      ++kills_;
    }
    dies_by_itself_ = random_() % kSuicideShare == 0;
    launcher_.start(dies_by_itself_ ? uint32_t(1 + random_() % 100) : 0);
  }
  // The last server stays.
  void finish(std::chrono::microseconds longest) {
    while (dies_by_itself_) kill_once(longest);
  }
  uint64_t kills() const { return kills_; }

 private:
  // A third each: commits, compaction (most of all where it moves an object), anything.
  ServerLauncher::Step any_step() {
    using Step = ServerLauncher::Step;
    constexpr uint8_t kSteps = ServerLauncher::kSteps;
    switch (random_() % 6) {
      case 0:
      case 1: return Step::kCommit;
      case 2: return Step::kRelocate;
      case 3: return Step(kSteps - 1 - random_() % ServerLauncher::kCompactionSteps);
      default: return Step(random_() % kSteps);
    }
  }

  ServerLauncher& launcher_;
  const bool can_aim_;
  std::mt19937_64 random_;
  bool dies_by_itself_ = false;
  uint64_t kills_ = 0;
};

// A FORGET has no answer: only its effect shows that it was executed.
void wait_until_only_the_root_is_left(const FakeCaller& caller) {
  for (int waited = 0;; ++waited) {
    const auto usage = caller.statfs();
    ASSERT_TRUE(usage);
    if (usage->files - usage->ffree == 1) return;
    ASSERT_LT(waited, 10'000) << usage->files - usage->ffree << " inodes are left";
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class Crash : public testing::Test {
 protected:
  Crash() : files_(ImageFiles::create(fake_kernel_geometry())), launcher_(files_, kernel_.server_fd(), busy_volume()) {
    std::cout << "seed " << seed_ << std::endl;
    kernel_.start();
    launcher_.start(0);
    kernel_.init();
  }

  // With no server running: every invariant holds, and `inodes` are left.
  void expect_clean_image(uint64_t inodes) {
    const ImageReport report = launcher_.inspect(true);
    EXPECT_EQ(report.breaches, "");
    EXPECT_EQ(report.inodes, inodes);
    EXPECT_EQ(report.directories, 1u);
    EXPECT_EQ(report.orig_data_size, 0u);
    EXPECT_EQ(report.pool_objects, 0u);
  }

  const uint64_t seed_ = setting("ZTMPFS_CRASH_SEED", 1);
  const bool can_aim_ = AimedKill::is_possible();  // forks, so before there are threads
  ImageFiles files_;
  FakeKernel kernel_;
  ServerLauncher launcher_;
};

TEST_F(Crash, NothingIsLostOrDoneTwiceWhoeverIsKilledWhenever) {
  const uint64_t kills = setting("ZTMPFS_CRASH_KILLS", 200);
  constexpr std::chrono::microseconds kLongest{15'000};
  constexpr uint64_t kKillsPerRound = 20;
  Client<Workload> first(kernel_, seed_ * 3, "first");
  Client<Workload> second(kernel_, seed_ * 3 + 1, "second");
  Client<SmallFiles> third(kernel_, seed_ * 3 + 2, "third");
  const auto for_each = [&](auto&& visit) { visit(first), visit(second), visit(third); };
  Executioner executioner(launcher_, can_aim_, seed_);
  const auto have_failed = [&] { return first.has_failed() || second.has_failed() || third.has_failed(); };
  while (executioner.kills() < kills) {
    for_each([](auto& client) { client.start(); });
    for (uint64_t i = 0; i < kKillsPerRound && !have_failed(); ++i) executioner.kill_once(kLongest);
    executioner.finish(kLongest);
    for_each([](auto& client) { ASSERT_EQ(client.stop(), ""); });
    if (HasFatalFailure()) return;
    for_each([](auto& client) { ASSERT_NO_THROW(client.work().verify()); });
    if (HasFatalFailure()) return;
    ASSERT_EQ(kernel_.contradictions(), std::vector<std::string>());
  }
  uint64_t operations = 0;
  for_each([&](auto& client) { operations += client.work().operations(), client.work().clear(); });
  wait_until_only_the_root_is_left(FakeCaller(kernel_));
  launcher_.kill();
  expect_clean_image(1);
  const CompactionTally& tally = launcher_.tally();
  EXPECT_GT(tally->pages_compacted, 0u);
  EXPECT_GT(tally->kills_within, 0u);
  EXPECT_EQ(tally->kills_aimed > 0, can_aim_);
  std::cout << executioner.kills() << " kills" << (can_aim_ ? "" : " (none aimed: no tracing here)") << ", "
            << tally->kills_within << " of them within a compaction (" << tally->kills_aimed << " aimed), "
            << tally->pages_compacted << " pages compacted, " << operations << " operations, " << kernel_.late_replies()
            << " replies sent again" << std::endl;
}

TEST_F(Crash, TheFreeingOfALargeFileIsFinishedBySuccessors) {
  const uint64_t blocks = setting("ZTMPFS_CRASH_BLOCKS", kLargeFileBlocks);
  constexpr uint64_t kBlock = 32 * 1024;
  constexpr std::chrono::microseconds kLongest{3'000};
  const FakeCaller caller(kernel_);
  const uint64_t ino = caller.create(kRoot, "large", S_IFREG | 0644, O_RDWR)->nodeid;
  constexpr uint64_t kTogether = 256;
  for (uint64_t block = 0; block < blocks; block += kTogether) {
    std::vector<uint64_t> uniques;
    for (uint64_t i = block; i < std::min(blocks, block + kTogether); ++i) {
      fuse_write_in argument{};
      argument.offset = i * kBlock;
      argument.size = sizeof(i) * 2;
      auto request = make_argument(argument);
      for (const uint64_t word : {i, ~i}) {
        const auto bytes = std::as_bytes(std::span(&word, 1));
        request.insert(request.end(), bytes.begin(), bytes.end());
      }
      uniques.push_back(kernel_.send(FUSE_WRITE, ino, request));
    }
    for (const uint64_t unique : uniques) ASSERT_EQ(kernel_.wait(unique).error, 0);
  }
  ASSERT_EQ(caller.getattr(ino)->size, (blocks - 1) * kBlock + 16);
  ASSERT_TRUE(caller.unlink(kRoot, "large"));
  const fuse_forget_one item{.nodeid = ino, .nlookup = kernel_.lookups_of(ino)};
  kernel_.forget({&item, 1}, false);

  std::mt19937_64 random(seed_);
  uint64_t kills = 0;
  uint64_t kills_within = 0;
  for (uint64_t left = 1; left != 0; ++kills) {
    ASSERT_TRUE(caller.getattr(kRoot)) << "attached, so freeing goes on";
    std::this_thread::sleep_for(std::chrono::microseconds(random() % uint64_t(kLongest.count())));
    launcher_.kill();
    const ImageReport report = launcher_.inspect(false);
    ASSERT_EQ(report.breaches, "");
    left = report.orig_data_size;
    if (left != 0 && left < blocks * 16) ++kills_within;
    launcher_.start(0);
  }
  wait_until_only_the_root_is_left(caller);
  launcher_.kill();
  expect_clean_image(1);
  EXPECT_LT(launcher_.inspect(true).memory, 8 * kMiB);
  std::cout << kills << " kills, " << kills_within << " of them seen with a part freed" << std::endl;
}

}  // namespace
}  // namespace ztmpfs
