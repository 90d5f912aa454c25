#include "daemon/psi_option.h"

#include <gtest/gtest.h>

namespace ztmpfs {
namespace {

TEST(PsiOption, TriggersPathsAndOffAreTaken) {
  for (const char* text : {"off", "/proc/pressure/memory", "some:100ms/1s", "full:1s/10s", "some:500us/500ms"})
    EXPECT_EQ(psi_option_error(text), "") << text;
}

TEST(PsiOption, EverythingElseHasAReason) {
  for (const char* text : {"", "on", "some", "some:", "some:100ms", "some:/1s", "some:100/1s", "some:100ms/1",
                           "any:1ms/1s", "some:100ms/1s/2", "some:0ms/1s", "some:1s/100ms", "some:100ms/11s",
                           "some:1ms/499ms", "some:-1ms/1s", "some/100ms:1s", "relative/path"})
    EXPECT_NE(psi_option_error(text), "") << text;
}

}  // namespace
}  // namespace ztmpfs
