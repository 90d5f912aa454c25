#include "base/mountpoint_path.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace ztmpfs {
namespace {

TEST(MountpointPath, FollowsLinksButNotTheLastOne) {
  std::string pattern = std::filesystem::canonical(std::filesystem::temp_directory_path()) / "ztmpfs-path-XXXXXX";
  const std::filesystem::path root = ::mkdtemp(pattern.data());
  std::filesystem::create_directory(root / "real");
  std::filesystem::create_directory_symlink("real", root / "link");
  std::filesystem::create_directory_symlink("real", root / "real" / "last");
  EXPECT_EQ(mountpoint_path(root / "link" / "last"), root / "real" / "last");
  EXPECT_EQ(mountpoint_path(root / "link" / "." / "absent" / ".."), root / "link");
  EXPECT_EQ(mountpoint_path(root / "link" / "last/"), root / "real" / "last");
  EXPECT_EQ(mountpoint_path(root / "gone" / "absent"), root / "gone" / "absent");
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace ztmpfs
