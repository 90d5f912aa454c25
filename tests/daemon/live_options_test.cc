#include "daemon/live_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "daemon/control_server.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;

constexpr Bytes kCapacity = 256 * kMiB;

class LiveOptionsTest : public testing::Test {
 protected:
  static Options options() {
    return resolve_options("disk", "/mnt", split_settings("size=64M"), {.usable_ram = 8 * kGiB, .cpus = 1});
  }
  static VolumeOptions limits() {
    VolumeOptions volume = volume_options(options());
    volume.count_heaps = false;
    return volume;
  }
  LiveValues change(const std::string& settings) { return live_.change(split_settings(settings)); }
  template <class Exception>
  std::string refusal(const std::string& settings) {
    try {
      change(settings);
    } catch (const Exception& error) {
      return error.what();
    }
    return "(accepted)";
  }
  std::string kept() { return volume_.image().files().changed_options(); }

  SystemClock clock_;
  Volume volume_{ImageFiles::create(small_geometry()), limits(), clock_};
  std::vector<std::string> psi_;
  LiveOptions live_{options(), volume_, [this](const std::string& psi) { psi_.push_back(psi); }};
};

TEST_F(LiveOptionsTest, SizeIsSetWithWhatFollowsFromIt) {
  const LiveValues values = change("size=128M");
  EXPECT_EQ(values.size, 128 * kMiB);
  EXPECT_EQ(values.hot, 16 * kMiB);
  EXPECT_EQ(volume_.budget().limit(), 128 * kMiB);
  EXPECT_EQ(volume_.budget().reserve(), 2 * kMiB);
  EXPECT_EQ(volume_.store().hot_limit(), 16 * kMiB);
  EXPECT_EQ(volume_.fs().usage().total, 128 * kMiB);
  EXPECT_EQ(volume_.stats().mem_limit, 128 * kMiB);
}

TEST_F(LiveOptionsTest, HotThatWasSetStaysWhenTheSizeChanges) {
  EXPECT_EQ(change("hot=4M").hot, 4 * kMiB);
  EXPECT_EQ(change("size=128M").hot, 4 * kMiB);
  EXPECT_EQ(change("hot=10%").hot, 128 * kMiB / 10);
}

TEST_F(LiveOptionsTest, ChangesAreKeptInTheImage) {
  EXPECT_EQ(kept(), "");
  change("size=128M");
  EXPECT_EQ(kept(), "size=134217728");
  change("hot=4M,psi=off");
  EXPECT_EQ(kept(), "size=134217728,hot=4194304,psi=off");
  const Options again = change_options(options(), split_settings(kept()), kCapacity, {});
  EXPECT_EQ(again.size, 128 * kMiB);
  EXPECT_EQ(again.hot, 4 * kMiB);
  EXPECT_EQ(again.psi, "off");
}

TEST_F(LiveOptionsTest, PsiIsToldOnlyWhenItChanges) {
  change("size=128M");
  EXPECT_TRUE(psi_.empty());
  EXPECT_EQ(change("psi=some:50ms/1s").psi, "some:50ms/1s");
  change("psi=some:50ms/1s");
  EXPECT_EQ(psi_, std::vector<std::string>{"some:50ms/1s"});
}

TEST_F(LiveOptionsTest, NonsenseIsRefusedAndChangesNothing) {
  EXPECT_THAT(refusal<UsageError>("size=1G"), HasSubstr("'size=1G' is more than 256.0 MiB, the most this mount can"));
  EXPECT_THAT(refusal<UsageError>("size=1M"), HasSubstr("'size=1M' is too small"));
  EXPECT_THAT(refusal<UsageError>("size=x"), HasSubstr("'size=x' is not a number of bytes"));
  EXPECT_THAT(refusal<UsageError>("size"), HasSubstr("'size' needs a value"));
  EXPECT_THAT(refusal<UsageError>("hot=0"), HasSubstr("'hot=0' leaves no room"));
  EXPECT_THAT(refusal<UsageError>("hot=60M"), HasSubstr("the size of 64.0 MiB is too small"));
  EXPECT_THAT(refusal<UsageError>("psi=x"), HasSubstr("'psi=x'"));
  EXPECT_THAT(refusal<UsageError>("psi=/nowhere"), HasSubstr("'psi=/nowhere'"));
  EXPECT_THAT(refusal<UsageError>("size=128M,block=4K"), HasSubstr("'block=4K' cannot be changed"));
  EXPECT_THAT(refusal<UsageError>("size=128M,sise=1"), HasSubstr("'sise=1' cannot be changed"));
  EXPECT_THROW(live_.change({{"psi", "some:100ms/1s,size=1M", ""}}), UsageError);
  EXPECT_EQ(volume_.budget().limit(), 64 * kMiB);
  EXPECT_EQ(kept(), "");
}

TEST_F(LiveOptionsTest, LessThanIsInUseIsRefusedAndChangesNothing) {
  volume_.budget().charge(40 * kMiB);  // nothing that could be reclaimed
  const std::string sentence = refusal<Refusal>("size=32M,hot=2M,psi=off");
  EXPECT_THAT(sentence, HasSubstr("size cannot become 32.0 MiB: 40."));
  EXPECT_EQ(volume_.budget().limit(), 64 * kMiB);
  EXPECT_EQ(volume_.store().hot_limit(), 8 * kMiB);
  EXPECT_EQ(kept(), "");
  EXPECT_TRUE(psi_.empty());
  volume_.budget().uncharge(40 * kMiB);
  EXPECT_EQ(change("size=32M").size, 32 * kMiB);
}

TEST_F(LiveOptionsTest, WhatIsPromisedIsKept) {
  ASSERT_TRUE(volume_.budget().try_promise(40 * kMiB));
  EXPECT_THAT(refusal<Refusal>("size=32M"), HasSubstr(" are in use and 40.0 MiB promised to fallocate(2), and part"));
  EXPECT_EQ(change("size=48M").size, 48 * kMiB);
  volume_.budget().end_promise(40 * kMiB);
}

}  // namespace
}  // namespace ztmpfs
