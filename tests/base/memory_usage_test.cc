#include "base/memory_usage.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/unique_fd.h"

namespace ztmpfs {
namespace {

TEST(AllocatedMemory, CountsThePagesOfAMemfd) {
  const UniqueFd memfd(::memfd_create("test", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(memfd.get(), 1 << 20), 0);
  EXPECT_EQ(allocated_memory(memfd.get()), 0u);
  ASSERT_EQ(::pwrite(memfd.get(), "x", 1, 100000), 1);
  ASSERT_EQ(::pwrite(memfd.get(), "x", 1, 200000), 1);
  EXPECT_EQ(allocated_memory(memfd.get()), 2 * kPageSize);
}

TEST(AllocatedMemory, IsZeroForABadDescriptor) { EXPECT_EQ(allocated_memory(-1), 0u); }

TEST(AnonymousMemory, GrowsWithTheHeap) {
  const Bytes before = anonymous_memory(::getpid());
  EXPECT_GT(before, 0u);
  std::vector<char> heap(64 << 20, 'x');
  EXPECT_GE(anonymous_memory(::getpid()), before + 60 * kMiB);
  EXPECT_EQ(heap[12345], 'x');
}

TEST(AnonymousMemory, IsZeroForAProcessThatIsGone) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(anonymous_memory(child), 0u);
}

TEST(UsableRam, IsAtMostTheMachinesRam) {
  EXPECT_GT(usable_ram(), 16 * kMiB);
  EXPECT_LE(usable_ram(), Bytes(::sysconf(_SC_PHYS_PAGES)) * kPageSize);
}

}  // namespace
}  // namespace ztmpfs
