#include "daemon/mount_users.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

class MountUsers : public testing::Test {
 protected:
  // A process as /proc shows it, elsewhere in everything but what the test adds.
  void add_process(int pid, const std::string& name) {
    const std::string process = std::to_string(pid);
    proc_.write(process + "/comm", name + "\n");
    proc_.write(process + "/maps", "7f00-7f01 r-xp 00000000 08:01 42    /usr/lib/libc.so.6\n7f01-7f02 rw-p 0 0:0 0\n");
    std::filesystem::create_directory(proc_.path() + "/" + process + "/fd");
    add_link(pid, "fd/0", "/dev/null");
    add_link(pid, "root", "/");
  }
  void add_link(int pid, const std::string& link, const std::string& target) {
    std::filesystem::create_symlink(target, proc_.path() + "/" + std::to_string(pid) + "/" + link);
  }
  std::string users() { return describe_mount_users(find_mount_users("/mnt/disk", proc_.path())); }

  TemporaryDirectory proc_;
};

TEST_F(MountUsers, EveryWayOfUseIsSeen) {
  add_process(10, "bash");
  add_link(10, "cwd", "/mnt/disk");
  add_process(11, "tail");
  add_link(11, "fd/3", "/mnt/disk/log (deleted)");
  add_process(12, "tool");
  add_link(12, "exe", "/mnt/disk/bin/tool");
  add_process(13, "mapper");
  proc_.write("13/maps", "7f00-7f01 r--p 00000000 00:34 42    /mnt/disk/data\n");
  EXPECT_EQ(users(), "10 (bash), 11 (tail), 12 (tool), 13 (mapper)");
}

TEST_F(MountUsers, OthersAreNot) {
  add_process(10, "neighbour");
  add_link(10, "cwd", "/mnt/disk2");
  add_process(11, "parent");
  add_link(11, "cwd", "/mnt");
  proc_.write("version", "not a process");
  EXPECT_TRUE(find_mount_users("/mnt/disk", proc_.path()).empty());
}

TEST_F(MountUsers, LongListsAreCut) {
  for (int pid = 100; pid < 111; ++pid) {
    add_process(pid, "cc1");
    add_link(pid, "cwd", "/mnt/disk/src");
  }
  EXPECT_TRUE(users().ends_with("107 (cc1) and 3 more")) << users();
}

}  // namespace
}  // namespace ztmpfs
