#include "daemon/memory_watch.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <regex>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

class MemoryWatchTest : public testing::Test {
 protected:
  // In place, as /proc/meminfo changes.
  void set_machine(Bytes total, Bytes available) const {
    directory_.write("meminfo", "MemTotal:       " + std::to_string(total / kKiB) +
                                    " kB\nMemFree:          1024 kB\nMemAvailable:   " +
                                    std::to_string(available / kKiB) + " kB\nBuffers:            7 kB\n");
  }
  std::string meminfo() const { return directory_.path() + "/meminfo"; }

  TemporaryDirectory directory_;
  MemoryBudget budget_{110 * kMiB, 10 * kMiB};
};

TEST_F(MemoryWatchTest, FloorIsFivePercentOfASmallMachine) {
  set_machine(1000 * kMiB, 51 * kMiB);
  const MemoryWatch watch(budget_, meminfo());
  EXPECT_EQ(watch.check(), std::nullopt);
  set_machine(1000 * kMiB, 49 * kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kSome);
  set_machine(1000 * kMiB, 26 * kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kSome);
  set_machine(1000 * kMiB, 24 * kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kFull);
  set_machine(1000 * kMiB, 51 * kMiB);
  EXPECT_EQ(watch.check(), std::nullopt);
}

TEST_F(MemoryWatchTest, FloorIsAtMostHalfAGibibyte) {
  set_machine(64 * kGiB, 513 * kMiB);
  const MemoryWatch watch(budget_, meminfo());
  EXPECT_EQ(watch.check(), std::nullopt);
  set_machine(64 * kGiB, 511 * kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kSome);
  set_machine(64 * kGiB, 255 * kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kFull);
}

TEST_F(MemoryWatchTest, MountThatIsNearlyFullIsSeen) {
  set_machine(kGiB, kGiB);
  const MemoryWatch watch(budget_, meminfo());
  budget_.charge(94 * kMiB);
  EXPECT_EQ(watch.check(), std::nullopt);
  budget_.set_overhead(kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kSome);
  budget_.set_limit(kGiB);
  EXPECT_EQ(watch.check(), std::nullopt);
  budget_.set_limit(kMiB);
  EXPECT_EQ(watch.check(), PressureLevel::kSome);
}

TEST_F(MemoryWatchTest, ShortMachineGoesBeforeAFullMount) {
  set_machine(1000 * kMiB, kMiB);
  budget_.charge(100 * kMiB);
  EXPECT_EQ(MemoryWatch(budget_, meminfo()).check(), PressureLevel::kFull);
}

TEST_F(MemoryWatchTest, WithoutUsableFileTheMountIsStillWatched) {
  directory_.write("meminfo", "MemTotal: much\n");
  for (const std::string& path : {meminfo(), directory_.path() + "/missing"}) {
    const MemoryWatch watch(budget_, path);
    EXPECT_EQ(watch.check(), std::nullopt);
    budget_.charge(100 * kMiB);
    EXPECT_EQ(watch.check(), PressureLevel::kSome);
    budget_.uncharge(100 * kMiB);
  }
}

TEST_F(MemoryWatchTest, KernelsTextIsUnderstood) {
  std::ifstream file("/proc/meminfo");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  directory_.write("meminfo", std::regex_replace(text, std::regex("(MemAvailable: *)[0-9]+"), "$010"));
  EXPECT_EQ(MemoryWatch(budget_, meminfo()).check(), PressureLevel::kFull);
}

}  // namespace
}  // namespace ztmpfs
