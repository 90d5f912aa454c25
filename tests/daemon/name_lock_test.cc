#include "daemon/name_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <stdexcept>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

TEST(NameLock, NameIsClaimedOnce) {
  const TemporaryDirectory directory;
  const auto first = NameLock::try_claim(directory.path(), "build");
  EXPECT_TRUE(first);
  EXPECT_FALSE(NameLock::try_claim(directory.path(), "build"));
  EXPECT_TRUE(NameLock::try_claim(directory.path(), "other"));
}

TEST(NameLock, NameIsFreeWhenItsOwnerHasGone) {
  const TemporaryDirectory directory;
  NameLock::try_claim(directory.path(), "build").reset();
  EXPECT_TRUE(NameLock::try_claim(directory.path(), "build"));
  EXPECT_TRUE(std::filesystem::exists(NameLock::path(directory.path(), "build")));
}

TEST(NameLock, RemovedFileClaimsNothing) {
  const TemporaryDirectory directory;
  const auto first = NameLock::try_claim(directory.path(), "build");
  first->remove_file();
  EXPECT_TRUE(NameLock::try_claim(directory.path(), "build"));
}

TEST(NameLock, UnwritableDirectoryIsNamed) {
  try {
    NameLock::try_claim("/nonexistent", "build");
    FAIL() << "locked";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/build.lock"), std::string::npos) << error.what();
  }
}

TEST(NameLock, ClaimLastsAsLongAsADuplicateOfItsDescriptor) {
  const TemporaryDirectory directory;
  auto first = NameLock::try_claim(directory.path(), "build");
  auto handed_over = std::optional<NameLock>(std::in_place, directory.path(), "build",
                                             UniqueFd(::fcntl(first->fd(), F_DUPFD_CLOEXEC, 3)));
  first.reset();
  EXPECT_FALSE(NameLock::try_claim(directory.path(), "build"));
  handed_over.reset();
  EXPECT_TRUE(NameLock::try_claim(directory.path(), "build"));
}

}  // namespace
}  // namespace ztmpfs
