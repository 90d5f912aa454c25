#include "daemon/mount_table.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

constexpr const char* kTable =
    "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "30 21 0:52 / /mnt/with\\040space rw,nosuid shared:9 master:2 - fuse.ztmpfs my\\134disk rw,user_id=0\n"
    "31 21 0:53 / /mnt/twice rw - tmpfs tmpfs rw\n"
    "32 31 0:54 / /mnt/twice rw - fuse.ztmpfs build rw\n"
    "broken line\n"
    "33 21 0:55 / /mnt/no-separator rw\n"
    "34 21 0:31 /outer\\040group /groups rw - cgroup2 cgroup2 rw\n";

TEST(MountTable, FieldsAreReadAndUnescaped) {
  const auto table = parse_mount_table(kTable);
  ASSERT_EQ(table.size(), 5U);
  EXPECT_EQ(table[1].device, "0:52");
  EXPECT_EQ(table[1].mountpoint, "/mnt/with space");
  EXPECT_EQ(table[1].type, "fuse.ztmpfs");
  EXPECT_EQ(table[1].source, "my\\disk");
  EXPECT_EQ(table[1].root, "/");
  EXPECT_EQ(table[4].root, "/outer group");
  EXPECT_EQ(table[1].options, "rw,nosuid,rw,user_id=0");
}

TEST(MountTable, TheMountOnTopIsFound) {
  const auto table = parse_mount_table(kTable);
  ASSERT_NE(find_mount(table, "/mnt/twice"), nullptr);
  EXPECT_EQ(find_mount(table, "/mnt/twice")->device, "0:54");
  EXPECT_EQ(find_mount(table, "/mnt"), nullptr);
}

TEST(MountTable, OwnNamespaceHasProc) {
  const auto table = read_mount_table();
  const MountEntry* proc = find_mount(table, "/proc");
  ASSERT_NE(proc, nullptr);
  EXPECT_EQ(proc->type, "proc");
}

}  // namespace
}  // namespace ztmpfs
