#include "fuse/client_follower.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <semaphore>
#include <thread>
#include <vector>

namespace ztmpfs {
namespace {

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof(set), &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

// A thread that has run on one CPU only, with a name made to mislead whoever reads /proc/PID/stat.
class ClientOnCpu {
 public:
  explicit ClientOnCpu(int cpu)
      : thread_([this, cpu] {
          prctl(PR_SET_NAME, ") 1 (a b");
          cpu_set_t one;
          CPU_ZERO(&one);
          CPU_SET(cpu, &one);
          sched_setaffinity(0, sizeof(one), &one);
          sched_yield();
          pid_ = uint32_t(gettid());
          ready_.release();
          done_.acquire();
        }) {
    ready_.acquire();
  }
  ~ClientOnCpu() {
    done_.release();
    thread_.join();
  }
  uint32_t pid() const { return pid_; }

 private:
  std::binary_semaphore ready_{0};
  std::binary_semaphore done_{0};
  uint32_t pid_ = 0;
  std::thread thread_;
};

TEST(ClientFollowerTest, AReaderStaysOnTheCpuOfASteadyClient) {
  const std::vector<int> before = allowed_cpus();
  if (before.size() < 2) GTEST_SKIP() << "needs two CPUs";
  ClientFollower follower;
  for (const int cpu : {before.back(), before.front()}) {
    const ClientOnCpu client(cpu);
    for (int request = 0; request < 100; ++request) follower.follow(client.pid());
    EXPECT_EQ(allowed_cpus(), std::vector{cpu});
  }
  follower.release();
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(ClientFollowerTest, AReaderIsFreeWithUnknownOrChangingClients) {
  const std::vector<int> before = allowed_cpus();
  if (before.size() < 2) GTEST_SKIP() << "needs two CPUs";
  const ClientOnCpu one(before.front());
  const ClientOnCpu other(before.back());
  ClientFollower follower;
  for (int request = 0; request < 100; ++request) follower.follow(one.pid());
  for (int request = 0; request < 100; ++request) {
    follower.follow(0);
    follower.follow(one.pid());
    follower.follow(other.pid());
  }
  EXPECT_EQ(allowed_cpus(), before);
  // No such thread: it has ended, or lives in another pid namespace.
  for (int request = 0; request < 100; ++request) follower.follow(0x7ffffff0);
  EXPECT_EQ(allowed_cpus(), before);
}

}  // namespace
}  // namespace ztmpfs
