#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "fuse/latency_histogram.h"
#include "fuse/latency_recorder.h"
#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr uint64_t kRoot = FileSystem::kRootIno;

TEST(LatencyHistogram, BoundsGoFromAMicrosecondToTenSeconds) {
  EXPECT_EQ(LatencyHistogram::bound(0), microseconds(1));
  EXPECT_EQ(LatencyHistogram::bound(4), microseconds(20));
  EXPECT_EQ(LatencyHistogram::bound(11), milliseconds(5));
  EXPECT_EQ(LatencyHistogram::bound(LatencyHistogram::kBounds - 1), seconds(10));
}

TEST(LatencyHistogram, ATimeIsInTheFirstBucketWhoseBoundItDoesNotExceed) {
  for (size_t bucket = 0; bucket < LatencyHistogram::kBounds; ++bucket) {
    const nanoseconds bound = LatencyHistogram::bound(bucket);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound), bucket);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound + nanoseconds(1)), bucket + 1);
    const nanoseconds below = bucket == 0 ? nanoseconds(0) : LatencyHistogram::bound(bucket - 1);
    EXPECT_EQ(LatencyHistogram::bucket_of(below + (bound - below) / 2), bucket);
  }
  for (int bit = 0; bit < 63; ++bit) {
    const nanoseconds time(int64_t(1) << bit);
    const size_t bucket = LatencyHistogram::bucket_of(time);
    EXPECT_TRUE(bucket == LatencyHistogram::kBounds || time <= LatencyHistogram::bound(bucket)) << bit;
    EXPECT_TRUE(bucket == 0 || time > LatencyHistogram::bound(bucket - 1)) << bit;
  }
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds(-5)), 0U);
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds::max()), LatencyHistogram::kBounds);
}

TEST(LatencyHistogram, QuantilesLieEvenlyInTheirBucket) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), nanoseconds(0)) << "of nothing";
  histogram.counts[1] = 50;  // 1 to 2 us
  histogram.counts[4] = 50;  // 10 to 20 us
  EXPECT_EQ(histogram.count(), 100U);
  EXPECT_EQ(histogram.quantile(0.25), nanoseconds(1500));
  EXPECT_EQ(histogram.quantile(0.5), microseconds(2));
  EXPECT_EQ(histogram.quantile(0.75), microseconds(15));
  EXPECT_EQ(histogram.quantile(1), microseconds(20));
  histogram.counts.back() = 100;
  EXPECT_EQ(histogram.quantile(0.99), seconds(10)) << "more is not known";
}

TEST(LatencyRecorder, KeepsOpcodesApart) {
  LatencyRecorder recorder;
  recorder.record(1, microseconds(3));
  recorder.record(1, milliseconds(30));
  recorder.record(kOpcodeCount - 1, microseconds(3));
  LatencyHistogram one;
  recorder.add_to(one, 1);
  EXPECT_EQ(one.count(), 2U);
  EXPECT_EQ(one.sum, microseconds(30003));
  LatencyHistogram two;
  recorder.add_to(two, 2);
  EXPECT_EQ(two.count(), 0U);
}

TEST(FuseServerLatency, EveryCountedRequestHasOne) {
  ServedVolume served;
  served.start();
  const FakeCaller caller = served.caller();
  const uint64_t ino = caller.create(kRoot, "file", S_IFREG | 0644, O_RDWR)->nodeid;
  for (int i = 0; i < 10; ++i) caller.getattr(ino);
  served.kernel().call(FUSE_OPEN, ino, make_argument(fuse_open_in{}));
  served.kernel().call(999, ino, {});
  served.kernel().call(FUSE_DESTROY, 0, {});
  std::map<std::string, uint64_t> counts;
  for (const auto& [opcode, latency] : served.server().latencies()) counts[opcode] = latency.count();
  EXPECT_EQ(counts, served.server().request_counts());
  EXPECT_EQ(counts["GETATTR"], 10U);
}

TEST(FuseServerLatency, AForgetIsTimedUntilItIsExecuted) {
  ServedVolume served;
  served.start();
  const uint64_t ino = served.caller().create(kRoot, "file", S_IFREG | 0644, O_RDWR)->nodeid;
  const fuse_forget_one item{.nodeid = ino, .nlookup = 1};
  served.kernel().forget({&item, 1}, true);
  while (!served.server().latencies().contains("BATCH_FORGET")) std::this_thread::yield();
  EXPECT_EQ(served.server().latencies()["BATCH_FORGET"].count(), 1U);
}

TEST(FuseServerLatency, TheTimeOfTheHandlerIsInIt) {
  constexpr milliseconds kPause{20};
  ServedVolume served;
  served.start(busy_readers({.before_execute =
                                 [&](uint32_t opcode) {
                                   if (opcode == FUSE_GETATTR) std::this_thread::sleep_for(kPause);
                                 },
                             .after_reply = {}}));
  served.caller().getattr(kRoot);
  const LatencyHistogram latency = served.server().latencies()["GETATTR"];
  EXPECT_GE(latency.sum, kPause);
  EXPECT_GE(latency.quantile(0), milliseconds(10)) << "the bucket's lower end";
}

TEST(FuseServerLatency, MayBeReadWhileRequestsAreServed) {
  ServedVolume served;
  served.start();
  std::atomic<bool> is_done = false;
  std::thread watcher([&] {
    uint64_t before = 0;
    while (!is_done) {
      auto latencies = served.server().latencies();
      EXPECT_GE(latencies["GETATTR"].count(), before);
      before = latencies["GETATTR"].count();
    }
  });
  for (int i = 0; i < 500; ++i) served.caller().getattr(kRoot);
  is_done = true;
  watcher.join();
  EXPECT_EQ(served.server().latencies()["GETATTR"].count(), 500U);
}

}  // namespace
}  // namespace ztmpfs
