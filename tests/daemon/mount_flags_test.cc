#include "daemon/mount_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

namespace ztmpfs {
namespace {

using testing::UnorderedElementsAre;

TEST(MountFlags, MountAndFileSystemTogetherMakeTheFlags) {
  EXPECT_EQ(parse_mount_flags("rw,nosuid,relatime,rw,user_id=0"), MS_NOSUID | MS_RELATIME);
  EXPECT_EQ(parse_mount_flags("rw,noexec,ro,sync"), MS_NOEXEC | MS_RDONLY | MS_SYNCHRONOUS);
  EXPECT_EQ(parse_mount_flags("ro,rw"), MS_RDONLY);
  EXPECT_EQ(parse_mount_flags(""), 0U);
}

TEST(MountFlags, FusermountGetsOnlyWhatItKnows) {
  MountFlags flags = default_mount_flags();
  for (const char* name : {"ro", "relatime", "nodiratime", "lazytime", "noexec", "silent"})
    EXPECT_TRUE(apply_mount_flag(name, flags));
  EXPECT_THAT(fusermount_flag_names(flags), UnorderedElementsAre("ro", "noexec", "nosuid", "nodev"));
  EXPECT_THAT(fusermount_flag_names(0), UnorderedElementsAre("suid", "dev"));
}

TEST(MountFlags, NamesLeadToTheSameFlagsAgain) {
  for (const MountFlags flags :
       {MountFlags(0), MountFlags(MS_NOSUID), MountFlags(MS_RDONLY | MS_NOATIME | MS_LAZYTIME | MS_NOSYMFOLLOW),
        MountFlags(MS_NODEV | MS_STRICTATIME | MS_SILENT | MS_DIRSYNC)}) {
    MountFlags again = default_mount_flags();
    for (const std::string& name : mount_flag_names(flags)) EXPECT_TRUE(apply_mount_flag(name, again)) << name;
    EXPECT_EQ(again, flags);
  }
}

TEST(MountFlags, WhatOnlyFstabNeedsIsIgnored) {
  for (const char* name : {"defaults", "user", "group", "comment", "x-systemd.automount", "X-mount.mkdir", "iversion"})
    EXPECT_TRUE(is_ignored_mount_option(name)) << name;
  for (const char* name : {"x", "xattr", "ro", "remount", "users2"})
    EXPECT_FALSE(is_ignored_mount_option(name)) << name;
}

}  // namespace
}  // namespace ztmpfs
