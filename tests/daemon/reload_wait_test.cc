#include "daemon/reload_wait.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

using std::chrono::milliseconds;

TEST(ReloadWaitTest, ReloadEndsByItselfAfterMinutes) {
  ReloadWait wait;
  EXPECT_FALSE(wait.by());
  wait.begin(milliseconds(1000));
  EXPECT_EQ(wait.by(), milliseconds(1000) + ReloadWait::kMax);
  wait.end();
  EXPECT_FALSE(wait.by());
}

TEST(ReloadWaitTest, AnswerEndsTheReloadThatItIsOf) {
  ReloadWait wait;
  wait.begin(milliseconds(0));
  wait.order();
  EXPECT_TRUE(wait.take_answer());
}

TEST(ReloadWaitTest, LateAnswerDoesNotEndTheNextReload) {
  ReloadWait wait;
  wait.begin(milliseconds(0));
  wait.order();
  wait.end();
  wait.begin(milliseconds(1));
  wait.order();
  EXPECT_FALSE(wait.take_answer()) << "to the order before";
  EXPECT_TRUE(wait.take_answer());
}

TEST(ReloadWaitTest, AnswerThatComesWhenNobodyWaitsIsNone) {
  ReloadWait wait;
  wait.begin(milliseconds(0));
  wait.order();
  wait.end();
  EXPECT_FALSE(wait.take_answer());
}

TEST(ReloadWaitTest, NextServerOwesNothingOfTheOneBefore) {
  ReloadWait wait;
  wait.begin(milliseconds(0));
  wait.order();
  wait.end();
  wait.forget_orders();
  wait.begin(milliseconds(1));
  wait.order();
  EXPECT_TRUE(wait.take_answer());
}

}  // namespace
}  // namespace ztmpfs
