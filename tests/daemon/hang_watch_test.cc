#include "daemon/hang_watch.h"

#include <gtest/gtest.h>

#include <memory>

namespace ztmpfs {
namespace {

using std::chrono::milliseconds;

class HangWatchTest : public testing::Test {
 protected:
  // Looks as often as a holder does, with a main thread that comes round; true if it was found to hang by then.
  bool watch_until(milliseconds end) {
    for (; now_ <= end; now_ += watch_.interval()) {
      if (is_main_alive_) record_->alive_at = to_record(now_);
      if (watch_.is_hung(now_)) return true;
    }
    return false;
  }

  const std::unique_ptr<SupervisionRecord> record_ = std::make_unique<SupervisionRecord>();
  HangWatch watch_{*record_, milliseconds(6000)};
  milliseconds now_{50'000};
  bool is_main_alive_ = true;
};

TEST_F(HangWatchTest, ServerThatComesRoundIsNotHung) {
  watch_.begin(now_);
  EXPECT_FALSE(watch_until(milliseconds(100'000)));
}

TEST_F(HangWatchTest, RequestThatTakesTooLongIsFound) {
  watch_.begin(now_);
  record_->slots[1].request_started_at = to_record(now_);
  EXPECT_FALSE(watch_until(milliseconds(56'000)));
  EXPECT_TRUE(watch_until(milliseconds(58'000)));
}

TEST_F(HangWatchTest, OneRequestAfterTheOtherIsNotOneLongOne) {
  watch_.begin(now_);
  for (int i = 0; i < 10; ++i) {
    record_->slots[0].request_started_at = to_record(now_);
    EXPECT_FALSE(watch_until(now_ + milliseconds(4000)));
  }
}

TEST_F(HangWatchTest, SilentMainThreadIsFound) {
  watch_.begin(now_);
  is_main_alive_ = false;
  EXPECT_FALSE(watch_until(milliseconds(56'000)));
  EXPECT_TRUE(watch_until(milliseconds(58'000)));
}

TEST_F(HangWatchTest, TimeInWhichWeDidNotRunDoesNotCount) {
  watch_.begin(now_);
  record_->slots[0].request_started_at = to_record(now_);
  record_->alive_at = to_record(now_);
  now_ += milliseconds(600'000);
  EXPECT_FALSE(watch_.is_hung(now_));
  EXPECT_FALSE(watch_until(now_ + milliseconds(5000)));
  EXPECT_TRUE(watch_until(now_ + milliseconds(3000)));
}

TEST_F(HangWatchTest, WhatWasBeforeTheServerServedDoesNotCount) {
  record_->slots[0].request_started_at = 1;
  watch_.begin(now_);
  EXPECT_FALSE(watch_until(milliseconds(55'000)));
}

TEST_F(HangWatchTest, LimitOfZeroIsForEver) {
  HangWatch watch(*record_, milliseconds(0));
  watch.begin(now_);
  record_->slots[0].request_started_at = 1;
  EXPECT_FALSE(watch.is_hung(now_ + milliseconds(1'000'000)));
}

}  // namespace
}  // namespace ztmpfs
