#include "daemon/restart_policy.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

using Progress = RestartPolicy::Progress;
using std::chrono::milliseconds;

constexpr uint32_t kSlots = 2;

RestartPolicy::Ending ending(ServerEnd end, Progress progress, bool has_refused = false,
                             milliseconds lived = milliseconds(100)) {
  return {.end = end, .progress = progress, .has_refused = has_refused, .lived = lived};
}

TEST(RestartPolicy, KilledServerIsReplacedAtOnceHoweverOften) {
  RestartPolicy policy(kSlots);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(policy.after(ending(ServerEnd::kKilled, Progress::kReady)), milliseconds(0));
}

TEST(RestartPolicy, SeriesOfCrashesSlowsDown) {
  RestartPolicy policy(kSlots);
  EXPECT_EQ(policy.after(ending(ServerEnd::kCrashed, Progress::kReady)), milliseconds(10));
  EXPECT_EQ(policy.after(ending(ServerEnd::kCrashed, Progress::kReady)), milliseconds(20));
  for (int i = 0; i < 40; ++i) policy.after(ending(ServerEnd::kCrashed, Progress::kReady));
  EXPECT_EQ(policy.after(ending(ServerEnd::kCrashed, Progress::kReady)), RestartPolicy::kDelayMax);
  const auto old = ending(ServerEnd::kCrashed, Progress::kReady, false, RestartPolicy::kLifeMin);
  EXPECT_EQ(policy.after(old), milliseconds(10)) << "a long life ends a series";
}

TEST(RestartPolicy, KillsDuringAttachDoNotSlowDownForEver) {
  RestartPolicy policy(kSlots);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(policy.after(ending(ServerEnd::kKilled, Progress::kNothing)), milliseconds(10));
    EXPECT_EQ(policy.after(ending(ServerEnd::kKilled, Progress::kReady)), milliseconds(0));
  }
}

TEST(RestartPolicy, HungServerIsReplacedAtOnce) {
  RestartPolicy policy(kSlots);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(policy.after(ending(ServerEnd::kHung, Progress::kReady)), milliseconds(0));
}

TEST(RestartPolicy, ImageThatCannotBeTakenUpIsGivenUp) {
  RestartPolicy policy(kSlots);
  for (uint32_t i = 1; i < RestartPolicy::kAttachFailuresMax; ++i)
    EXPECT_TRUE(policy.after(ending(ServerEnd::kCrashed, Progress::kNothing, i % 2 == 0)));
  EXPECT_FALSE(policy.after(ending(ServerEnd::kHung, Progress::kNothing)));
}

TEST(RestartPolicy, RefusalToGoOnIsGivenUpToo) {
  RestartPolicy policy(kSlots);
  for (uint32_t i = 1; i < RestartPolicy::kAttachFailuresMax; ++i)
    EXPECT_TRUE(policy.after(ending(ServerEnd::kCrashed, Progress::kAttached, true)));
  EXPECT_FALSE(policy.after(ending(ServerEnd::kCrashed, Progress::kAttached, true)));
}

TEST(RestartPolicy, KillsFromOutsideNeverCountAsFailures) {
  RestartPolicy policy(kSlots);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(policy.after(ending(ServerEnd::kKilled, Progress::kNothing)));
}

TEST(RestartPolicy, PoisonousRequestsInEachSlotAreNotTheImagesFault) {
  RestartPolicy policy(kSlots);
  for (uint32_t i = 0; i < 2 * kSlots; ++i)
    EXPECT_TRUE(policy.after(ending(ServerEnd::kCrashed, Progress::kAttached))) << i;
  bool has_given_up = false;
  for (int i = 0; i < 100 && !has_given_up; ++i)
    has_given_up = !policy.after(ending(ServerEnd::kCrashed, Progress::kAttached));
  EXPECT_TRUE(has_given_up) << "but not for ever";
}

TEST(RestartPolicy, ServerThatServedBeginsTheCountAnew) {
  RestartPolicy policy(kSlots);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(policy.after(ending(ServerEnd::kCrashed, Progress::kNothing)));
    EXPECT_TRUE(policy.after(ending(ServerEnd::kCrashed, Progress::kReady)));
  }
}

}  // namespace
}  // namespace ztmpfs
