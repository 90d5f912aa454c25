#include "daemon/descendants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class FakeProc {
 public:
  void add(pid_t pid, pid_t parent, const std::string& name = "sh", char state = 'S') const {
    directory_.write(std::to_string(pid) + "/stat",
                     std::to_string(pid) + " (" + name + ") " + state + " " + std::to_string(parent) + " 1 1 0 -1");
  }
  const std::string& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
};

TEST(Descendants, AreFoundThroughAllGenerations) {
  const FakeProc proc;
  proc.add(1, 0);
  proc.add(10, 1);
  proc.add(11, 10);
  proc.add(5, 11);  // numbers come round
  proc.add(12, 1);
  EXPECT_THAT(find_descendants(10, {}, proc.path()), ElementsAre(11, 5));
}

TEST(Descendants, SparedOnesAndTheirOwnAreLeftOut) {
  const FakeProc proc;
  proc.add(11, 10);
  proc.add(12, 11);
  proc.add(13, 10);
  EXPECT_THAT(find_descendants(10, {11}, proc.path()), ElementsAre(13));
}

TEST(Descendants, OfOnesThatHaveEndedCount) {
  const FakeProc proc;
  proc.add(11, 10, "sh", 'Z');
  proc.add(12, 11);
  EXPECT_THAT(find_descendants(10, {}, proc.path()), ElementsAre(12));
}

TEST(Descendants, NamesMayLookLikeFields) {
  const FakeProc proc;
  proc.add(11, 10, "a) S 99 (b");
  proc.add(12, 10, "new\nline");
  EXPECT_THAT(find_descendants(10, {}, proc.path()), UnorderedElementsAre(11, 12));
}

TEST(Descendants, EndIncludingThoseThatIgnoreItOrAreStopped) {
  const pid_t parent = ::fork();
  if (parent == 0) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (const int kind : {0, 1, 2}) {
      if (::fork() != 0) continue;
      if (kind == 1) std::signal(SIGTERM, SIG_IGN);
      if (::fork() == 0 && kind == 2) ::raise(SIGSTOP);
      while (true) ::pause();
    }
    while (find_descendants(::getpid()).size() < 6) ::usleep(1000);
    const auto reap = [] {
      while (::waitpid(-1, nullptr, WNOHANG) > 0) {
      }
    };
    const auto left = end_descendants({}, std::chrono::milliseconds(100), std::chrono::seconds(20), reap);
    ::_exit(left.empty() && ::waitpid(-1, nullptr, WNOHANG) < 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(parent, &status, 0), parent);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ztmpfs
