#include "base/check.h"

#include <gtest/gtest.h>

#include <fcntl.h>

#include "base/unique_fd.h"

namespace ztmpfs {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

UniqueFd open_null() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

TEST(CheckDeathTest, AbortsAndSaysWhy) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(ZTMPFS_CHECK(1 + 1 == 3, "arithmetic is broken"),
               "check_test.cc:.*arithmetic is broken \\(1 \\+ 1 == 3\\)");
}

TEST(Check, EvaluatesItsConditionOnce) {
  int evaluations = 0;
  ZTMPFS_CHECK(++evaluations == 1, "evaluated");
  EXPECT_EQ(evaluations, 1);
}

TEST(UniqueFd, ClosesWhatItOwns) {
  int fd = -1;
  {
    const UniqueFd owner = open_null();
    fd = owner.get();
    ASSERT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(UniqueFd, HandsOverOnMove) {
  UniqueFd first = open_null();
  const int fd = first.get();
  UniqueFd second = open_null();
  const int replaced = second.get();
  second = std::move(first);
  EXPECT_EQ(second.get(), fd);
  EXPECT_TRUE(is_open(fd));
  EXPECT_FALSE(is_open(replaced));
  EXPECT_EQ(second.release(), fd);
  EXPECT_TRUE(is_open(fd));
  ::close(fd);
}

}  // namespace
}  // namespace ztmpfs
