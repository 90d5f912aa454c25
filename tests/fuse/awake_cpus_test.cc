#include "fuse/awake_cpus.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <optional>

namespace ztmpfs {
namespace {

constexpr AwakeCpus::Clock::time_point kStart{};

// The kernel's end of /dev/cpu_dma_latency: keeps message boundaries, and sees the descriptor being closed.
class FakeLatencyDevice {
 public:
  FakeLatencyDevice() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    ours_.reset(ends[0]);
    theirs_.reset(ends[1]);
  }

  UniqueFd open() { return std::move(theirs_); }
  bool has_wish() const {
    pollfd ours{.fd = ours_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ours, 1, 0) == 1;
  }
  /// Waits for the next wish, bounded by the test's timeout; none: closed.
  std::optional<int32_t> next_wish() const {
    int32_t wish = 0;
    if (::read(ours_.get(), &wish, sizeof(wish)) != sizeof(wish)) return std::nullopt;
    return wish;
  }

 private:
  UniqueFd ours_;
  UniqueFd theirs_;
};

void note_burst(AwakeCpus& awake, AwakeCpus::Clock::time_point now) {
  for (uint32_t request = 0; request < AwakeCpus::kBurst; ++request) awake.note_request(now);
}

TEST(AwakeCpusTest, ABurstKeepsCpusAwakeAndItsEndLetsThemHalt) {
  FakeLatencyDevice device;
  AwakeCpus awake(device.open());
  awake.start();
  for (int burst = 0; burst < 3; ++burst) {
    note_burst(awake, kStart);
    EXPECT_EQ(device.next_wish(), 0);
    EXPECT_EQ(device.next_wish(), -1);
  }
  awake.stop();
  EXPECT_FALSE(device.has_wish());
}

TEST(AwakeCpusTest, OneRequestLessIsNoBurst) {
  FakeLatencyDevice device;
  AwakeCpus awake(device.open());
  awake.start();
  for (uint32_t request = 1; request < AwakeCpus::kBurst; ++request) awake.note_request(kStart);
  EXPECT_FALSE(device.has_wish());
  awake.note_request(kStart + AwakeCpus::kInterval);
  EXPECT_TRUE(device.has_wish());
}

TEST(AwakeCpusTest, RequestsFarApartLetCpusHalt) {
  FakeLatencyDevice device;
  AwakeCpus awake(device.open());
  awake.start();
  for (uint32_t request = 0; request < 100 * AwakeCpus::kBurst; ++request)
    awake.note_request(kStart + request * AwakeCpus::kInterval);
  EXPECT_FALSE(device.has_wish());
}

TEST(AwakeCpusTest, WishesAndTheirEndsAlternate) {
  FakeLatencyDevice device;
  AwakeCpus awake(device.open());
  awake.start();
  // One wish, or several in turn with their ends if the other thread gets to look in between.
  for (int burst = 0; burst < 1000; ++burst) note_burst(awake, kStart);
  awake.stop();
  EXPECT_TRUE(device.has_wish());
  int32_t expected = 0;
  while (device.has_wish()) {
    EXPECT_EQ(device.next_wish(), expected);
    expected = -1 - expected;
  }
  EXPECT_EQ(expected, 0) << "stopped with the wish still open";
}

TEST(AwakeCpusTest, StoppingEndsABurst) {
  FakeLatencyDevice device;
  {
    AwakeCpus awake(device.open());
    awake.start();
    note_burst(awake, kStart);
  }
  EXPECT_EQ(device.next_wish(), 0);
  EXPECT_EQ(device.next_wish(), -1);
  EXPECT_EQ(device.next_wish(), std::nullopt);
}

TEST(AwakeCpusTest, WithoutTheRightNothingIsDone) {
  AwakeCpus awake{UniqueFd()};
  awake.start();
  note_burst(awake, kStart);
  awake.stop();
}

}  // namespace
}  // namespace ztmpfs
