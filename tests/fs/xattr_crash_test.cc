// Processes that do nothing but change xattrs, each killed at some instant: what they leave is what was, or what was
// to be, and nothing besides.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kFiles = 6;
constexpr uint64_t kNames = 5;

class XattrCrashTest : public testing::Test {
 protected:
  // Until it is killed. A value is one letter, many times.
  [[noreturn]] void work(uint64_t seed) {
    rig_.attach();
    std::mt19937_64 random(seed);
    while (true) {
      const std::string file = std::to_string(random() % kFiles);
      const auto found = rig_.lookup(kRoot, file);
      const uint64_t ino = found ? found->ino : rig_.create(kRoot, file)->ino;
      const std::string name = "user." + std::to_string(random() % kNames);
      const size_t size = random() % 4 == 0 ? 65'536 : 1 + random() % 500;
      const auto choice = random() % 8;
      if (choice == 0) {
        static_cast<void>(rig_.remove_xattr(ino, name));
      } else if (choice > 2) {
        static_cast<void>(rig_.set_xattr(ino, name, std::string(size, char('a' + random() % 26))));
      }
      rig_.forget(ino, UINT64_MAX);  // so that it dies with its name
      if (choice == 1) static_cast<void>(rig_.unlink(kRoot, file));
      if (choice == 2) rig_.volume().store().seal(4, true, Effort::kFast);
    }
  }

  void kill_one(uint64_t seed, std::chrono::microseconds lifetime) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) work(seed);
    std::this_thread::sleep_for(lifetime);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the process ended by itself";
  }

  // How many attributes there are.
  size_t check() {
    rig_.attach();
    while (rig_.fs().purge_step()) continue;
    rig_.expect_sound();
    size_t found = 0;
    for (uint64_t file = 0; file < kFiles; ++file) {
      const auto attr = rig_.lookup(kRoot, std::to_string(file));
      for (uint64_t name = 0; attr && name < kNames; ++name) {
        const auto value = rig_.get_xattr(attr->ino, "user." + std::to_string(name));
        if (!value) continue;
        ++found;
        EXPECT_EQ(*value, std::string(value->size(), value->front()));
      }
    }
    return found;
  }

  FsRig rig_;
};

TEST_F(XattrCrashTest, ChangesHappenWholeOrNotAtAll) {
  std::mt19937_64 random(3);
  size_t found = 0;
  for (uint64_t kill = 0; kill < 150 && !HasFailure(); ++kill) {
    kill_one(kill, std::chrono::microseconds(500 + random() % 8000));
    found += check();
  }
  EXPECT_GT(found, 100U) << "the processes got something done";
  rig_.fs().end_connection();
  for (uint64_t file = 0; file < kFiles; ++file) static_cast<void>(rig_.unlink(kRoot, std::to_string(file)));
  EXPECT_EQ(rig_.fs().files(), 1U);
  EXPECT_EQ(rig_.volume().stats().store.orig_data_size, 0U);
  rig_.expect_sound();
}

}  // namespace
}  // namespace ztmpfs
