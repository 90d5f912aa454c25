// Several requests at once, with background work beside them: for the thread sanitizer, and for deadlocks.
#include <gtest/gtest.h>

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
