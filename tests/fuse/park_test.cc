// A server that is parked leaves a connection that goes on, and a successor takes it up: nobody notices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <thread>

#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

// A server in a thread, on a connection of its own.
class Park : public testing::Test {
 protected:
  void start(FuseServer::Options options = busy_readers()) {
    kernel_.start();
    make(std::move(options));
    run();
  }
  void make(FuseServer::Options options = busy_readers()) {
    server_ = std::make_unique<FuseServer>(kernel_.server_fd(), volume_, std::move(options));
  }
  void run() {
    thread_ = std::thread([this] { end_ = server_->run(); });
  }
  FuseServer::End join() {
    thread_.join();
    return end_;
  }
  FuseServer::End disconnect() {
    kernel_.disconnect();
    return join();
  }
  FakeCaller caller() { return FakeCaller(kernel_); }

  SystemClock clock_;
  Volume volume_{ImageFiles::create(fake_kernel_geometry()), small_volume(), clock_};
  FakeKernel kernel_;
  std::unique_ptr<FuseServer> server_;
  std::thread thread_;
  FuseServer::End end_ = FuseServer::End::kConnectionEnded;
};

TEST_F(Park, ReadersThatWaitLeave) {
  for (const uint32_t readers : {1u, 2u}) {
    SCOPED_TRACE(readers);
    if (readers == 1) {
      FuseServer::Options options = busy_readers();
      options.readers = 1;
      start(std::move(options));
      kernel_.init();
    } else {
      make();
      run();
    }
    EXPECT_TRUE(caller().getattr(kRoot));
    server_->park();
    EXPECT_EQ(join(), FuseServer::End::kParked);
  }
}

TEST_F(Park, TheEndOfTheConnectionIsToldApart) {
  start();
  kernel_.init();
  EXPECT_EQ(disconnect(), FuseServer::End::kConnectionEnded);
  server_->park();  // nobody is left to be parked
}

TEST_F(Park, MayComeBeforeTheFirstInit) {
  start();
  server_->park();
  EXPECT_EQ(join(), FuseServer::End::kParked);
  make();
  run();
  EXPECT_EQ(kernel_.init().error, 0);
  EXPECT_TRUE(caller().getattr(kRoot));
  EXPECT_EQ(disconnect(), FuseServer::End::kConnectionEnded);
}

TEST_F(Park, MayComeBeforeRunAndFromManyThreads) {
  kernel_.start();
  make();
  server_->park();
  run();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { server_->park(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(join(), FuseServer::End::kParked);
}

TEST_F(Park, ARequestInExecutionIsAnsweredAndWhatComesLaterIsTheSuccessors) {
  std::latch begun{1};
  std::latch parked{1};
  const auto pause = [&](uint32_t opcode) {
    if (opcode != FUSE_MKDIR) return;
    begun.count_down();
    parked.wait();
  };
  start(busy_readers({.before_execute = pause, .after_reply = {}}));
  kernel_.init();
  const uint64_t made = kernel_.send(FUSE_MKDIR, kRoot, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 0}, {"d"}));
  begun.wait();
  server_->park();
  const uint64_t later = kernel_.send(FUSE_LOOKUP, kRoot, make_names({"d"}));
  parked.count_down();
  EXPECT_EQ(kernel_.wait(made).error, 0);
  EXPECT_EQ(join(), FuseServer::End::kParked);
  EXPECT_EQ(server_->request_counts().count("LOOKUP"), 0u);
  make();
  run();
  EXPECT_EQ(kernel_.wait(later).error, 0);
  EXPECT_EQ(kernel_.late_replies(), 0u);
  disconnect();
}

TEST_F(Park, TheSuccessorTellsOfAttributesThatChangedBefore) {
  start();
  kernel_.init();
  server_->attributes_changed(kRoot);
  server_->park();
  EXPECT_EQ(join(), FuseServer::End::kParked);
  // Sent by the server that was parked, in its end.
  while (kernel_.invalidated().empty()) std::this_thread::yield();
  EXPECT_EQ(kernel_.invalidated(), std::vector<uint64_t>{kRoot});
}

// Each of its own names, until told to stop.
void make_files(const FakeCaller& caller, int number, const std::atomic<bool>& is_over, std::atomic<int>& files) {
  for (int i = 0; !is_over; ++i) {
    const std::string name = std::to_string(number) + "-" + std::to_string(i);
    const auto made = caller.create(kRoot, name, S_IFREG | 0644, O_RDWR | O_EXCL);
    ASSERT_TRUE(made) << name;
    ASSERT_EQ(caller.write(made->nodeid, 0, std::as_bytes(std::span(name))), name.size());
    ASSERT_TRUE(caller.link(made->nodeid, kRoot, name + "+"));
    ASSERT_EQ(caller.read(made->nodeid, 0, 100)->size(), name.size());
    ASSERT_TRUE(caller.unlink(kRoot, name));
    const fuse_forget_one item{.nodeid = made->nodeid, .nlookup = 2};
    caller.kernel().forget({&item, 1}, i % 2 == 0);
    ++files;
  }
}

TEST(ParkUnderLoad, NoRequestIsLostAndNoneIsAnsweredTwice) {
  constexpr int kParks = 60;
  ServedVolume served;
  served.start();
  std::atomic<bool> is_over = false;
  std::atomic<int> files = 0;
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number)
    threads.emplace_back([&, number] { make_files(served.caller(), number, is_over, files); });
  for (int park = 0; park < kParks; ++park) {
    const int seen = files;
    while (files == seen) std::this_thread::yield();
    // Long transfers free the other reader: with and without.
    FuseServer::Options options = busy_readers();
    if (park % 2 == 0) options.long_transfer = 128 * kKiB;
    served.replace(std::move(options));
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(files, kParks);
  EXPECT_EQ(served.caller().list(kRoot, false)->size(), size_t(files));
  EXPECT_EQ(served.kernel().late_replies(), 0u);
  EXPECT_EQ(served.kernel().contradictions(), std::vector<std::string>());
  EXPECT_EQ(served.kernel().resend_notifications(), uint64_t(kParks));
  served.stop();
  EXPECT_EQ(served.volume().fs().audit(), std::vector<std::string>());
}

}  // namespace
}  // namespace ztmpfs
