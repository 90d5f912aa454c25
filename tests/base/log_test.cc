#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace ztmpfs {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Log, WritesOneLineWithNameAndLevel) {
  log_open(/*to_syslog=*/false, "build");
  testing::internal::CaptureStderr();
  log(LogLevel::kWarning, "size {} is %d small");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "ztmpfs build: warning: size {} is %d small\n");
}

TEST(Log, LeavesOutLinesOfOneKeyOnly) {
  log_open(/*to_syslog=*/false, "build");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) log_limited(LogLevel::kError, "log_test one", "first");
  log_limited(LogLevel::kError, "log_test two", "second");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, StartsWith("ztmpfs build: error: first\n"));
  EXPECT_THAT(text, EndsWith("ztmpfs build: error: second\n"));
  EXPECT_LT(std::ranges::count(text, '\n'), 100);
}

TEST(Log, TellsHowManyLinesItLeftOut) {
  log_open(/*to_syslog=*/false, "build");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5; ++i) log_limited(LogLevel::kError, "log_test three", "third");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  log_limited(LogLevel::kError, "log_test three", "third");
  const std::string text = testing::internal::GetCapturedStderr();
  // Every call is a line or counted in one, however long the machine pauses between the calls.
  int calls = int(std::ranges::count(text, '\n'));
  for (size_t at = text.find('('); at != std::string::npos; at = text.find('(', at + 1))
    calls += std::stoi(text.substr(at + 1));
  EXPECT_EQ(calls, 6);
  EXPECT_THAT(text, HasSubstr(" like it left out)\n"));
}

}  // namespace
}  // namespace ztmpfs
