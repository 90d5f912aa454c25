#include "daemon/mounter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

std::string refusal(const std::string& path) {
  try {
    check_mountpoint(path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "(accepted)";
}

TEST(CheckMountpoint, DirectoryBecomesAbsolute) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory.path() + "/real");
  std::filesystem::create_directory_symlink(directory.path() + "/real", directory.path() + "/link");
  EXPECT_EQ(check_mountpoint(directory.path() + "/link/"), directory.path() + "/real");
  EXPECT_EQ(check_mountpoint(std::filesystem::relative(directory.path()).string()), directory.path());
}

TEST(CheckMountpoint, EverythingElseIsRefusedByName) {
  const TemporaryDirectory directory;
  directory.write("file", "");
  const std::string missing = directory.path() + "/missing";
  EXPECT_EQ(refusal(missing), "mount point " + missing + ": No such file or directory");
  const std::string file = directory.path() + "/file";
  EXPECT_EQ(refusal(file), "mount point " + file + " is not a directory");
}

TEST(CheckMountpoint, MountPointInUseIsRefused) {
  EXPECT_EQ(refusal("/proc"), "mount point /proc is in use: proc (proc) is mounted there");
  EXPECT_EQ(refusal("/proc/"), "mount point /proc is in use: proc (proc) is mounted there");
  EXPECT_EQ(refusal("/proc/../proc"), "mount point /proc is in use: proc (proc) is mounted there");
}

TEST(MountPoint, AnotherMountThatGotTheNumberIsNotOurs) {
  const std::string number = find_mount(read_mount_table(), "/proc")->device;
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  UniqueFd reader(pipe[0]);
  const UniqueFd writer(pipe[1]);
  const MountPoint place{.path = "/nowhere", .device = number, .connection = writer.get()};
  EXPECT_TRUE(place.is_mounted());
  reader.reset();  // as the end of a connection: poll(2) tells of an error
  EXPECT_FALSE(place.is_mounted());
  EXPECT_EQ(unmount(place, true), UnmountResult::kGone);
  EXPECT_NE(find_mount(read_mount_table(), "/proc"), nullptr);
  const MountPoint same_place{.path = "/proc", .device = number, .connection = writer.get()};
  EXPECT_FALSE(same_place.is_mounted()) << "somebody answers there";
}

TEST(MountPoint, WhatIsNotMountedIsGone) {
  const MountPoint nowhere{.path = "/proc", .device = "0:0"};
  EXPECT_FALSE(nowhere.is_mounted());
  EXPECT_EQ(unmount(nowhere, false), UnmountResult::kGone);
}

}  // namespace
}  // namespace ztmpfs
