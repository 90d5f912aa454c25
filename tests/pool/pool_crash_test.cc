#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

// What a pool's user would keep in the image: which object each of its slots refers to. The record's owner names the
// slot, and an object is live if that slot names it.
struct Owners {
  static constexpr uint32_t kSlots = 400;
  std::array<std::atomic<Handle>, kSlots> slots;
};

class PoolCrashTest : public ::testing::Test {
 protected:
  PoolCrashTest()
      : owners_(*static_cast<Owners*>(
            ::mmap(nullptr, sizeof(Owners), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
  ~PoolCrashTest() override { ::munmap(&owners_, sizeof(Owners)); }

  bool is_live(Handle handle, const HandleRecord& record) const { return owners_.slots[record.owner] == handle; }
  void attach(PoolRig& rig) const {
    rig.pool.attach([this](Handle handle, const HandleRecord& record) { return is_live(handle, record); });
  }

  // Replaces objects until it is killed, while another thread compacts; an object's bytes follow from its tag.
  [[noreturn]] void serve(uint64_t seed) {
    PoolRig rig(image_, 4 * kMiB, kMiB);
    attach(rig);
    const std::jthread compactor([&rig](const std::stop_token& stop) {
      while (!stop.stop_requested()) rig.pool.compact();
    });
    std::mt19937_64 random(seed);
    while (true) {
      const auto slot = uint32_t(random() % Owners::kSlots);
      if (const Handle old = owners_.slots[slot].exchange(0); old != 0) rig.pool.free(old);
      const uint64_t tag = random();
      const bool packed = random() % 2 == 0;
      const auto bytes = seeded_bytes(packed ? block_like_size(random) : 64U << random() % 10, tag);
      const auto handle =
          packed ? rig.pool.allocate_packed(bytes, slot, tag) : rig.pool.allocate(uint32_t(bytes.size()), slot, tag);
      if (!handle) continue;
      if (!packed) write(rig.pool, *handle, bytes);
      owners_.slots[slot].store(*handle, std::memory_order_release);
    }
  }

  void kill_a_server(uint64_t seed, std::chrono::microseconds lifetime) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) serve(seed);
    std::this_thread::sleep_for(lifetime);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the server ended by itself";
  }

  // Returns how many objects survived.
  size_t check() const {
    PoolRig rig(image_, 4 * kMiB, kMiB);
    attach(rig);
    EXPECT_THAT(rig.audit(), IsEmpty());
    size_t live = 0;
    for (uint32_t slot = 0; slot < Owners::kSlots; ++slot) {
      const Handle handle = owners_.slots[slot];
      if (handle == 0) continue;
      ++live;
      const auto bytes = read(rig.pool, handle);
      EXPECT_EQ(bytes, seeded_bytes(bytes.size(), rig.pool.tag(handle)));
    }
    EXPECT_EQ(rig.pool.stats().objects_used, live);
    return live;
  }

  Image image_{pool_image()};
  Owners& owners_;
};

TEST_F(PoolCrashTest, NoObjectIsLostWhenTheProcessIsKilled) {
  std::mt19937_64 random(6);
  size_t most = 0;
  for (uint64_t kill = 0; kill < 60; ++kill) {
    kill_a_server(kill, std::chrono::microseconds(random() % 20000));
    most = std::max(most, check());
    if (HasFailure()) FAIL() << "kill " << kill;
  }
  EXPECT_GT(most, 100) << "the servers got something done";
}

}  // namespace
}  // namespace ztmpfs
