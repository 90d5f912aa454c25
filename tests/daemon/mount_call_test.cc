#include "daemon/mount_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/command_line.h"
#include "daemon/options.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(MountCall, IsKnownByTheNameOfTheProgram) {
  EXPECT_TRUE(is_called_by_mount("/sbin/mount.fuse.ztmpfs"));
  EXPECT_TRUE(is_called_by_mount("mount.ztmpfs"));
  EXPECT_FALSE(is_called_by_mount("/usr/bin/ztmpfs"));
  EXPECT_FALSE(is_called_by_mount("/srv/mount.d/ztmpfs"));
}

TEST(MountCall, OperandsAndOptionsBecomeThoseOfZtmpfs) {
  const MountCall call = parse_mount_call({"disk", "/mnt/x", "-n", "-v", "-o", "rw,size=1G", "-t", "fuse.ztmpfs"});
  EXPECT_THAT(call.arguments, ElementsAre("-o", "rw,size=1G", "--", "disk", "/mnt/x"));
  EXPECT_FALSE(call.is_pretended);
}

TEST(MountCall, PretendingIsNotTheForeground) {
  const MountCall call = parse_mount_call({"disk", "/mnt/x", "-sf"});
  EXPECT_TRUE(call.is_pretended);
  EXPECT_THAT(call.arguments, ElementsAre("--", "disk", "/mnt/x"));
}

TEST(MountCall, WhatCannotBeDoneIsRefusedByName) {
  EXPECT_THAT([] { parse_mount_call({"disk", "/mnt/x", "-N", "/proc/1/ns/mnt"}); },
              ThrowsMessage<UsageError>(HasSubstr("mount -N")));
  EXPECT_THAT([] { parse_mount_call({"disk", "/mnt/x", "-z"}); }, ThrowsMessage<UsageError>(HasSubstr("'-z'")));
  EXPECT_THAT([] { parse_mount_call({"disk", "/mnt/x", "-o"}); }, ThrowsMessage<UsageError>(HasSubstr("'-o'")));
}

}  // namespace
}  // namespace ztmpfs
