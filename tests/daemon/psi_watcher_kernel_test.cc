#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "daemon/mount_table.h"
#include "tests/daemon/psi_watcher_rig.h"

namespace ztmpfs {
namespace {

// A group in the real cgroup2 hierarchy, removed at the end.
class OwnGroup {
 public:
  explicit OwnGroup(const std::string& hierarchy)
      : path_(hierarchy + "/ztmpfs-psi-test-" + std::to_string(::getpid())) {}
  ~OwnGroup() { remove(); }
  OwnGroup(const OwnGroup&) = delete;
  OwnGroup& operator=(const OwnGroup&) = delete;

  bool make() const { return ::mkdir(path_.c_str(), 0755) == 0; }
  bool remove() const { return ::rmdir(path_.c_str()) == 0; }
  std::string pressure_path() const { return path_ + "/memory.pressure"; }

 private:
  std::string path_;
};

std::optional<std::string> cgroup2_hierarchy() {
  const std::vector<MountEntry> table = read_mount_table();
  const auto found = std::ranges::find(table, "cgroup2", &MountEntry::type);
  if (found == table.end()) return std::nullopt;
  return found->mountpoint;
}

class PsiOnTheKernel : public PsiWatcherRig {};

TEST_F(PsiOnTheKernel, SystemPressureTakesTriggersOfBothLevels) {
  const PsiSource source = file_source("/proc/pressure/memory");
  if (::access(source.path.c_str(), R_OK | W_OK) != 0) GTEST_SKIP() << source.path << " cannot be written to here";
  watch({.sources = {source}, .warnings = {}});
  for (const PsiWatchStats& stats : watcher_->stats()) {
    EXPECT_EQ(stats.state, PsiWatchState::kTrigger) << stats.reason;
    const PsiTrigger wanted = default_psi_trigger(stats.level);
    EXPECT_TRUE(stats.trigger == wanted.text() || stats.trigger == wanted.for_everybody().text()) << stats.trigger;
  }
}

TEST_F(PsiOnTheKernel, TriggerOfSeveralWindowsIsTakenAsWritten) {
  PsiSource source = file_source("/proc/pressure/memory");
  if (::access(source.path.c_str(), R_OK | W_OK) != 0) GTEST_SKIP() << source.path << " cannot be written to here";
  source.triggers = {parse_psi_trigger("some:1s/10s").value()};
  watch({.sources = {source}, .warnings = {}});
  ASSERT_EQ(watcher_->stats().size(), 1U);
  EXPECT_EQ(watcher_->stats()[0].trigger, "some 1000000 10000000");
  EXPECT_TRUE(are_all(PsiWatchState::kTrigger));
}

TEST_F(PsiOnTheKernel, PressureCanBeReadInPercent) {
  const UniqueFd file(::open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC));
  if (!file) GTEST_SKIP() << "this kernel has no /proc/pressure/memory";
  for (const PressureLevel level : {PressureLevel::kSome, PressureLevel::kFull}) {
    const auto reading = read_pressure(file.get(), level);
    ASSERT_TRUE(reading.has_value());
    EXPECT_GE(reading->percent, 0);
    EXPECT_LE(reading->percent, 100);
    EXPECT_GE(reading->total.count(), 0);
  }
}

TEST_F(PsiOnTheKernel, GroupThatIsRemovedIsLostAndWatchedAgainOnceItIsBack) {
  const auto hierarchy = cgroup2_hierarchy();
  if (!hierarchy) GTEST_SKIP() << "no cgroup2 hierarchy is mounted here";
  const OwnGroup group(*hierarchy);
  if (!group.make()) GTEST_SKIP() << "no group can be made in " << *hierarchy;
  if (::access(group.pressure_path().c_str(), R_OK | W_OK) != 0) GTEST_SKIP() << "groups have no memory.pressure here";
  watch({.sources = {file_source(group.pressure_path())}, .warnings = {}});
  EXPECT_TRUE(are_all(PsiWatchState::kTrigger));
  ASSERT_TRUE(group.remove());
  run_until([&] { return are_all(PsiWatchState::kLost); });
  ASSERT_TRUE(group.make());
  run_until([&] { return are_all(PsiWatchState::kTrigger); });
  EXPECT_TRUE(events_.empty());
}

}  // namespace
}  // namespace ztmpfs
