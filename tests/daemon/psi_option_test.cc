#include "daemon/psi_option.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(PsiOption, TriggersPathsAndOffAreTaken) {
  for (const char* text : {"off", "/proc/pressure/memory", "some:100ms/1s", "full:1s/10s", "some:500us/500ms",
                           "some:300ms/1s+full:150ms/1s", "full:150ms/1s+some:300ms/1s"})
    EXPECT_EQ(psi_option_error(text), "") << text;
}

TEST(PsiOption, EverythingElseHasAReason) {
  for (const char* text : {"",
                           "on",
                           "some",
                           "some:",
                           "some:100ms",
                           "some:/1s",
                           "some:100/1s",
                           "some:100ms/1",
                           "any:1ms/1s",
                           "some:100ms/1s/2",
                           "some:0ms/1s",
                           "some:1s/100ms",
                           "some:100ms/11s",
                           "some:1ms/499ms",
                           "some:-1ms/1s",
                           "some/100ms:1s",
                           "relative/path",
                           "+",
                           "some:100ms/1s+",
                           "+some:100ms/1s",
                           "some:100ms/1s+off",
                           "some:100ms/1s+some:200ms/1s",
                           "some:100ms/1s+full:50ms/1s+full:50ms/1s",
                           "some:100ms/1s full:50ms/1s"})
    EXPECT_NE(psi_option_error(text), "") << text;
}

TEST(PsiOption, WithoutTriggersTheDefaultsHold) {
  const PsiOption option;
  EXPECT_FALSE(option.is_off);
  EXPECT_EQ(option.trigger(PressureLevel::kSome).text(), "some 100000 1000000");
  EXPECT_EQ(option.trigger(PressureLevel::kFull).text(), "full 50000 1000000");
  EXPECT_FALSE(option.names_trigger(PressureLevel::kSome));
}

TEST(PsiOption, TriggerReplacesTheDefaultOfItsLevelOnly) {
  const PsiOption option = parse_psi_option("some:300ms/2s").value();
  EXPECT_EQ(option.trigger(PressureLevel::kSome),
            (PsiTrigger{.level = PressureLevel::kSome, .stall = milliseconds(300), .window = seconds(2)}));
  EXPECT_EQ(option.trigger(PressureLevel::kFull), default_psi_trigger(PressureLevel::kFull));
  EXPECT_TRUE(option.names_trigger(PressureLevel::kSome));
  EXPECT_FALSE(option.names_trigger(PressureLevel::kFull));
}

TEST(PsiOption, BothLevelsCanBeReplaced) {
  const PsiOption option = parse_psi_option("full:200ms/1s+some:300ms/1s").value();
  EXPECT_EQ(option.trigger(PressureLevel::kSome).text(), "some 300000 1000000");
  EXPECT_EQ(option.trigger(PressureLevel::kFull).text(), "full 200000 1000000");
}

TEST(PsiOption, PathIsTakenAsItIs) {
  const PsiOption option = parse_psi_option("/run/a+b:c").value();
  EXPECT_EQ(option.path, "/run/a+b:c");
  EXPECT_TRUE(option.triggers.empty());
  EXPECT_TRUE(parse_psi_option("off").value().is_off);
}

}  // namespace
}  // namespace ztmpfs
