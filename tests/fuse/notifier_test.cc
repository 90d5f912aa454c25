#include "fuse/notifier.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_kernel.h"

namespace ztmpfs {
namespace {

// Waits for notifications to come in; bounded by the test's timeout.
std::vector<uint64_t> wait_for(const FakeKernel& kernel, uint64_t last) {
  while (true) {
    auto invalidated = kernel.invalidated();
    if (std::ranges::find(invalidated, last) != invalidated.end()) return invalidated;
    std::this_thread::yield();
  }
}

TEST(Notifier, TellsEachInodeOnceHoweverOftenItChanged) {
  FakeKernel kernel;
  kernel.start();
  Notifier notifier(kernel.server_fd());
  for (int round = 0; round < 100; ++round)
    for (const uint64_t ino : {5u, 3u, 4u}) notifier.attributes_changed(ino);
  notifier.start();
  EXPECT_EQ(wait_for(kernel, 5), (std::vector<uint64_t>{3, 4, 5}));
}

TEST(Notifier, TellsLaterChangesToo) {
  FakeKernel kernel;
  kernel.start();
  Notifier notifier(kernel.server_fd());
  notifier.start();
  notifier.attributes_changed(7);
  wait_for(kernel, 7);
  notifier.attributes_changed(8);
  EXPECT_EQ(wait_for(kernel, 8), (std::vector<uint64_t>{7, 8}));
}

TEST(Notifier, TellsAllOfManyInBatches) {
  FakeKernel kernel;
  kernel.start();
  Notifier notifier(kernel.server_fd());
  notifier.start();
  constexpr uint64_t kCount = 10'000;
  for (uint64_t ino = 1; ino <= kCount; ++ino) notifier.attributes_changed(ino);
  while (kernel.invalidated().size() < kCount) std::this_thread::yield();
  auto invalidated = kernel.invalidated();
  std::ranges::sort(invalidated);
  EXPECT_EQ(std::ranges::unique(invalidated).size(), 0u);
}

TEST(Notifier, StopsAlthoughItSleeps) {
  FakeKernel kernel;
  Notifier notifier(kernel.server_fd());
  notifier.start();
  notifier.stop();
}

// What the kernel was told of them may still be on its way.
TEST(Notifier, TellsOfADirectoryIfItsAttributesMayHaveBeenTold) {
  FakeKernel kernel;
  kernel.start();
  Notifier notifier(kernel.server_fd());
  notifier.directory_changed(7);  // a former server may have told them
  notifier.directory_changed(7);
  notifier.telling(8);
  notifier.directory_changed(7);
  notifier.telling(7);
  notifier.directory_changed(7);
  notifier.directory_changed(7 + 4096);
  notifier.directory_changed(7);  // not known any more
  notifier.directory_changed(9);
  EXPECT_EQ(wait_for(kernel, 9), (std::vector<uint64_t>{7, 7, 7 + 4096, 7, 9}));
}

}  // namespace
}  // namespace ztmpfs
