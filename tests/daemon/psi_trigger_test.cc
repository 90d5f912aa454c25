#include "daemon/psi_trigger.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

using namespace std::chrono_literals;

std::string for_everybody(const char* text) { return parse_psi_trigger(text).value().for_everybody().text(); }

TEST(PsiTrigger, TextIsTheKernels) {
  EXPECT_EQ(parse_psi_trigger("some:100ms/1s").value().text(), "some 100000 1000000");
  EXPECT_EQ(parse_psi_trigger("full:7us/10s").value().text(), "full 7 10000000");
}

TEST(PsiTrigger, WindowForEverybodyIsAMultipleOfTwoSecondsWithTheSameShare) {
  EXPECT_EQ(for_everybody("some:100ms/1s"), "some 200000 2000000");
  EXPECT_EQ(for_everybody("full:50ms/1s"), "full 100000 2000000");
  EXPECT_EQ(for_everybody("some:500us/500ms"), "some 2000 2000000");
  EXPECT_EQ(for_everybody("some:300ms/3s"), "some 400000 4000000");
  EXPECT_EQ(for_everybody("some:9s/9s"), "some 10000000 10000000");
}

TEST(PsiTrigger, WindowThatEverybodyMayHaveStays) {
  for (const char* text : {"some:1us/2s", "full:3s/10s"})
    EXPECT_EQ(for_everybody(text), parse_psi_trigger(text).value().text());
}

TEST(PsiTrigger, PercentIsTheShareOfTheWindow) {
  EXPECT_DOUBLE_EQ(default_psi_trigger(PressureLevel::kSome).percent(), 10.0);
  EXPECT_DOUBLE_EQ(default_psi_trigger(PressureLevel::kFull).percent(), 5.0);
}

TEST(PsiTrigger, KernelsTextIsReadWithAnyEnd) {
  for (const std::string& text : {std::string("some 200000 2000000"), std::string("some 200000 2000000\n"),
                                  std::string("some 200000 2000000\0", 20), std::string(" some  200000 2000000 ")})
    EXPECT_EQ(read_psi_trigger(text), (PsiTrigger{.level = PressureLevel::kSome, .stall = 200ms, .window = 2s}))
        << text;
}

TEST(PsiTrigger, OtherTextIsNoTrigger) {
  for (const char* text : {"", "some", "some 1", "hello 1 1000000", "some 1 1000000 3", "some x 1000000",
                           "some 0 1000000", "some 2000000 1000000", "full 1 1", "full 1 20000000", "some:100ms/1s"})
    EXPECT_EQ(read_psi_trigger(text), std::nullopt) << text;
}

}  // namespace
}  // namespace ztmpfs
