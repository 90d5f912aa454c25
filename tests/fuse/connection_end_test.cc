// An image that outlives its connection: the next one finds the tree, and nothing else.
#include "fuse/connection_end.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>

#include "base/memory_usage.h"
#include "tests/support/served_volume.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

class ConnectionEnd : public testing::Test {
 protected:
  // A tree, something removed that is still open, and names looked up.
  ConnectionEnd() {
    served_.start();
    const FakeCaller caller = served_.caller();
    directory_ = caller.mkdir(kRoot, "directory", 0755)->nodeid;
    file_ = caller.create(directory_, "file", S_IFREG | 0644, O_RDWR)->nodeid;
    EXPECT_EQ(caller.write(file_, 0, bytes("contents")), 8u);
    EXPECT_TRUE(caller.setxattr(file_, "user.name", "value"));
    open_file_ = caller.create(kRoot, "removed", S_IFREG | 0644, O_RDWR)->nodeid;
    EXPECT_EQ(caller.write(open_file_, 0, std::vector<std::byte>(100'000, std::byte(7))), 100'000u);
    EXPECT_TRUE(caller.unlink(kRoot, "removed"));
    open_directory_ = caller.mkdir(kRoot, "gone", 0755)->nodeid;
    EXPECT_TRUE(caller.rmdir(kRoot, "gone"));
    EXPECT_TRUE(caller.list(kRoot, true));
  }

  FakeKernel& kernel() { return served_.kernel(); }
  FileSystem& fs() { return served_.volume().fs(); }

  void expect_the_tree(const FakeCaller& caller) {
    EXPECT_EQ(caller.list(kRoot, false)->size(), 1u);
    EXPECT_EQ(caller.lookup(kRoot, "directory")->nodeid, directory_);
    EXPECT_EQ(caller.lookup(directory_, "file")->nodeid, file_);
    EXPECT_EQ(caller.read(file_, 0, 100), bytes("contents"));
    EXPECT_EQ(caller.getxattr(file_, "user.name"), "value");
    EXPECT_EQ(caller.getattr(open_file_).error(), std::errc(ESTALE));
    EXPECT_EQ(caller.getattr(open_directory_).error(), std::errc(ESTALE));
  }

  ServedVolume served_;
  uint64_t directory_ = 0;
  uint64_t file_ = 0;
  uint64_t open_file_ = 0;
  uint64_t open_directory_ = 0;
};

TEST_F(ConnectionEnd, TheNextOneBeginsWithAnInitAndFindsTheTree) {
  served_.drop_connection();
  served_.start();  // would wait for a minute in vain if the old INIT was replayed
  expect_the_tree(served_.caller());
  EXPECT_EQ(fs().files(), 3u);
  EXPECT_LT(served_.volume().stats().store.orig_data_size, 1000u) << "the removed file had 100,000 bytes";
  EXPECT_EQ(fs().audit(), std::vector<std::string>());
}

TEST_F(ConnectionEnd, RequestsThatWereNotFinishedAreForgotten) {
  served_.stop();
  // One that was read, and one with an outcome; the kernel has told their callers that the connection is gone.
  const fuse_mkdir_in argument{.mode = 0755, .umask = 0};
  served_.leave_request(0, kernel().make_request(FUSE_MKDIR, kRoot, make_argument(argument, {"unfinished"})));
  Operation operation = served_.operation(1);
  ASSERT_TRUE(fs().mkdir(operation, kRoot, "finished", 0755));
  served_.leave_request(1, kernel().make_request(FUSE_MKDIR, kRoot, make_argument(argument, {"finished"})));
  request_record(served_.volume().image(), 0).attempts = 2;
  served_.drop_connection();
  for (const uint32_t slot : {0u, 1u}) {
    EXPECT_FALSE(RequestSlot(served_.volume().image(), slot).is_pending());
    EXPECT_FALSE(served_.operation(slot).has_outcome());
    EXPECT_EQ(request_record(served_.volume().image(), slot).attempts, 0u);
  }
  served_.start();
  EXPECT_EQ(served_.caller().lookup(kRoot, "unfinished").error(), std::errc::no_such_file_or_directory);
  EXPECT_TRUE(served_.caller().lookup(kRoot, "finished"));
  EXPECT_EQ(kernel().late_replies(), 0u);
}

TEST_F(ConnectionEnd, AnotherProcessFindsTheSame) {
  served_.drop_connection();
  const SystemClock clock;
  Volume next(duplicate(served_.volume().image().files()), small_volume(), clock);
  drop_connection(next);  // as one does that cannot know that it was done
  FakeKernel kernel;
  kernel.start();
  FuseServer server(kernel.server_fd(), next, busy_readers());
  std::thread thread([&] { server.run(); });
  EXPECT_EQ(kernel.init().error, 0);
  expect_the_tree(FakeCaller(kernel));
  kernel.disconnect();
  thread.join();
  EXPECT_EQ(next.fs().audit(), std::vector<std::string>());
}

TEST_F(ConnectionEnd, TheNextServerSeesToItIfTheImageSaysSo) {
  served_.stop();
  served_.volume().image().supervision().is_connection_over = 1;
  served_.connect();
  FuseServer server(served_.kernel().server_fd(), served_.volume(), busy_readers());
  EXPECT_EQ(served_.volume().image().supervision().is_connection_over, 0u);
  std::thread thread([&] { server.run(); });
  EXPECT_EQ(kernel().init().error, 0);
  expect_the_tree(served_.caller());
  kernel().disconnect();
  thread.join();
}

TEST_F(ConnectionEnd, NumbersGoOn) {
  std::set<uint64_t> seen{kRoot, directory_, file_, open_file_, open_directory_};
  for (int i = 0; i < 3; ++i) {
    served_.drop_connection();
    served_.start();
    for (const char* name : {"a", "b", "c"}) {
      const auto made = served_.caller().create(kRoot, name, S_IFREG | 0644, O_RDWR);
      ASSERT_TRUE(made);
      EXPECT_TRUE(seen.insert(made->nodeid).second) << made->nodeid << " had another file";
      ASSERT_TRUE(served_.caller().unlink(kRoot, name));
    }
  }
}

TEST_F(ConnectionEnd, WhatIsKeptHoldsOnlyContents) {
  const uint64_t large = served_.caller().create(kRoot, "large", S_IFREG | 0644, O_RDWR)->nodeid;
  const std::vector<std::byte> zeros(100'000, std::byte(0));
  for (uint64_t i = 0; i < 80; ++i) ASSERT_TRUE(served_.caller().write(large, i * zeros.size(), zeros));
  ASSERT_TRUE(served_.caller().unlink(kRoot, "large"));
  served_.drop_connection();
  served_.volume().shrink_to_contents();
  EXPECT_EQ(fs().files(), 3u);
  EXPECT_EQ(served_.volume().pool().free_span_bytes(), 0u);
  EXPECT_EQ(served_.volume().store().hot_bytes(), 0u);
  EXPECT_EQ(allocated_memory(served_.volume().image().files().buffers.get()), 0u);
  EXPECT_EQ(fs().audit(), std::vector<std::string>());
}

}  // namespace
}  // namespace ztmpfs
