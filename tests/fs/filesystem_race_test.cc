// Several requests at once, with background work beside them: for the thread sanitizer, and for deadlocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

TEST(FileSystemRace, ManyRequestsOnTheSameFewNamesKeepTheTreeSound) {
  FsRig rig;
  FileSystem& fs = rig.fs();
  const std::vector<uint64_t> directories{kRoot, rig.mkdir(kRoot, "A")->ino, rig.mkdir(kRoot, "B")->ino};
  rig.volume().start();
  {
    std::vector<std::jthread> threads;
    for (uint32_t slot = 0; slot < 4; ++slot)
      threads.emplace_back([&, slot] {
        std::mt19937_64 random(slot + 1);
        std::vector<std::byte> data(60'000, std::byte(slot));
        for (int step = 0; step < 1500; ++step) {
          const uint64_t from = directories[random() % 3];
          const uint64_t to = directories[random() % 3];
          const std::string name(1, char('a' + random() % 4));
          const std::string other(1, char('a' + random() % 4));
          uint64_t held = 0;
          rig.run(
              [&](Operation& op) -> Result<void> {
                Result<Attr> entry = fail(std::errc::io_error);
                switch (random() % 9) {
                  case 0: entry = fs.create(op, from, name, 0644, false); break;
                  case 1: entry = fs.mkdir(op, from, name, 0755); break;
                  case 2: entry = fs.lookup(op, from, name); break;
                  case 3: return fs.unlink(op, from, name);
                  case 4: return fs.rmdir(op, from, name);
                  case 5: return fs.rename(op, from, name, to, other, uint32_t(random() % 3));
                  case 6: return fs.readdir(from, 0, [](const DirectoryEntry&) { return true; });
                  case 7: entry = fs.symlink(op, from, name, "target"); break;
                  default: fs.getattr(from); return {};
                }
                if (entry) held = entry->ino;
                return {};
              },
              slot);
          if (held == 0) continue;
          if (random() % 2 == 0) {
            rig.run([&](Operation& op) { return fs.write(op, held, random() % 90'000, data); }, slot);
            rig.run(
                [&](Operation& op) {
                  return fs.setattr(op, held, {.fields = SetAttr::kSize, .size = random() % 90'000});
                },
                slot);
            fs.read(held, 0, data);
          }
          if (random() % 3 == 0) rig.run([&](Operation& op) { return fs.link(op, held, to, other); }, slot);
          rig.forget(held, 1, slot);
        }
      });
  }
  rig.volume().stop();
  rig.volume().settle();
  rig.expect_sound();
}

TEST(FileSystemRace, FilesThatAreCutAndRemovedAtOnceAreFreedOnce) {
  FsRig rig;
  rig.volume().start();
  {
    std::vector<std::jthread> threads;
    for (uint32_t slot = 0; slot < 3; ++slot)
      threads.emplace_back([&, slot] {
        FileSystem& fs = rig.fs();
        const std::vector<std::byte> data(120'000, std::byte(1));
        for (int round = 0; round < 60; ++round) {
          const std::string name = "file" + std::to_string(slot);
          const auto create = [&](Operation& op) { return fs.create(op, kRoot, name, 0644, true); };
          const uint64_t ino = rig.run(create, slot)->ino;
          for (uint64_t i = 0; i < 12; ++i)
            rig.run([&](Operation& op) { return fs.write(op, ino, i * data.size(), data); }, slot);
          rig.run([&](Operation& op) { return fs.setattr(op, ino, {.fields = SetAttr::kSize, .size = 0}); }, slot);
          rig.run([&](Operation& op) { return fs.unlink(op, kRoot, name); }, slot);
          rig.forget(ino, 1, slot);
        }
      });
  }
  rig.volume().stop();
  rig.volume().settle();
  EXPECT_EQ(rig.fs().files(), 1U);
  rig.expect_sound();
}

// A thread's own files, small ones of few sizes that come and go, and what must be in them.
class SmallFileClient {
 public:
  static constexpr size_t kFilesMax = 120;

  SmallFileClient(FsRig& rig, uint64_t directory, uint32_t slot)
      : rig_(rig), directory_(directory), slot_(slot), random_(slot + 1) {}

  void step() {
    if (files_.size() >= kFilesMax)
      for (size_t count = random_() % kFilesMax; count > 0; --count) remove();
    if (files_.empty() || random_() % 2 == 0) return make();
    File& file = files_[random_() % files_.size()];
    if (random_() % 4 == 0) overwrite(file);
    check(file);
  }
  void check_all() {
    for (const File& file : files_) check(file);
  }

 private:
  struct File {
    std::string name;
    uint64_t ino;
    std::vector<std::byte> contents;
  };

  std::vector<std::byte> noise(size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = std::byte(random_());
    return bytes;
  }
  void make() {
    const std::string name = std::to_string(names_++);
    const auto create = [&](Operation& op) { return rig_.fs().create(op, directory_, name, 0644, true); };
    files_.push_back({name, rig_.run(create, slot_)->ino, noise(400 * (1 + random_() % 6))});
    write(files_.back(), 0, files_.back().contents.size());
  }
  void overwrite(File& file) {
    const size_t offset = random_() % file.contents.size();
    const auto bytes = noise(1 + random_() % (file.contents.size() - offset));
    std::ranges::copy(bytes, file.contents.begin() + ptrdiff_t(offset));
    write(file, offset, bytes.size());
  }
  void write(const File& file, size_t offset, size_t size) {
    const auto part = std::span(file.contents).subspan(offset, size);
    EXPECT_EQ(rig_.run([&](Operation& op) { return rig_.fs().write(op, file.ino, offset, part); }, slot_), size);
  }
  void check(const File& file) {
    std::vector<std::byte> data(file.contents.size() + 1);
    EXPECT_EQ(rig_.fs().read(file.ino, 0, data), file.contents.size());
    data.resize(file.contents.size());
    EXPECT_EQ(data, file.contents) << "file " << file.name << " of client " << slot_;
  }
  void remove() {
    std::swap(files_[random_() % files_.size()], files_.back());
    const File& file = files_.back();
    EXPECT_TRUE(rig_.run([&](Operation& op) { return rig_.fs().unlink(op, directory_, file.name); }, slot_));
    rig_.forget(file.ino, 1, slot_);
    files_.pop_back();
  }

  FsRig& rig_;
  const uint64_t directory_;
  const uint32_t slot_;
  std::mt19937_64 random_;
  std::vector<File> files_;
  uint64_t names_ = 0;
};

TEST(FileSystemRace, ContentsStayWhatTheyAreWhileMemoryIsReclaimed) {
  FsRig rig;
  std::vector<SmallFileClient> clients;
  for (uint32_t slot = 0; slot < 3; ++slot)
    clients.emplace_back(rig, rig.mkdir(kRoot, "client" + std::to_string(slot))->ino, slot);
  const auto pages_compacted = [&] { return rig.volume().pool().stats().pages_compacted; };
  constexpr int kSteps = 3000;
  constexpr int kStepsMax = 100 * kSteps;  // where the reclaiming threads hardly ever run
  rig.volume().start();
  {
    std::vector<std::jthread> beside;
    const auto reclaim = [&](const std::stop_token& stop, const ReclaimRequest& request) {
      while (!stop.stop_requested()) {
        rig.volume().reclaimer().run(request);
        std::this_thread::yield();
      }
    };
    using Cause = ReclaimCause;
    // What writers ask for is not logged each time.
    beside.emplace_back(reclaim, ReclaimRequest{.cause = Cause::kNoSpace, .time_max = std::chrono::milliseconds(1)});
    beside.emplace_back(reclaim, ReclaimRequest{.cause = Cause::kNoSpace, .target = kPageSize, .only = "compaction"});
    beside.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        rig.expect_sound();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    std::vector<std::jthread> threads;
    for (SmallFileClient& client : clients)
      threads.emplace_back([&] {
        for (int step = 0; step < kSteps || (step < kStepsMax && pages_compacted() == 0); ++step) client.step();
      });
    threads.clear();  // joins
  }
  rig.volume().stop();
  for (SmallFileClient& client : clients) client.check_all();
  EXPECT_GT(pages_compacted(), 0U);
  rig.volume().settle();
  rig.expect_sound();
}

TEST(FileSystemRace, TheAuditStopsTheWorldAndLetsItGoOn) {
  FsRig rig;
  rig.volume().start();
  std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      const std::string name = std::to_string(i % 50);
      const uint64_t ino = rig.create(kRoot, name)->ino;
      rig.write(ino, 0, std::string(5000, 'x'));
      rig.unlink(kRoot, name);
      rig.forget(ino);
    }
  });
  for (int i = 0; i < 20; ++i) rig.expect_sound();
}

}  // namespace
}  // namespace ztmpfs
