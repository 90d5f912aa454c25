#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "tests/pool/pool_rig.h"

namespace ztmpfs {
namespace {

using ::testing::IsEmpty;

struct Object {
  Handle handle;
  uint32_t size;
  std::byte fill;
};

// One thread's part: its own objects, in classes that it shares with the other threads.
class Worker {
 public:
  Worker(Pool& pool, uint64_t seed) : pool_(pool), random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (objects_.size() < 150 && random_() % 5 < 3)
        add();
      else
        drop();
    }
    for (const Object& object : objects_) check(object);
  }
  void drop_all() {
    for (const Object& object : objects_) pool_.free(object.handle);
  }
  uint64_t errors() const { return errors_; }

 private:
  void add() {
    const bool packed = random_() % 2 == 0;
    const uint32_t size = packed ? 1 + uint32_t(random_() % 30000) : 64U << random_() % 10;
    const auto fill = std::byte(random_());
    const std::vector<std::byte> bytes(size, fill);
    const auto handle = packed ? pool_.allocate_packed(bytes, 0, 0) : pool_.allocate(size, 0, 0);
    if (!handle) return;
    if (!packed) write(pool_, *handle, bytes);
    objects_.push_back({*handle, size, fill});
  }
  void drop() {
    if (objects_.empty()) return;
    std::swap(objects_[random_() % objects_.size()], objects_.back());
    check(objects_.back());
    pool_.free(objects_.back().handle);
    objects_.pop_back();
  }
  void check(const Object& object) {
    const Pin pin = pool_.pin(object.handle);
    const auto is_right = [&](std::byte byte) { return byte == object.fill; };
    if (pin.bytes().size() != object.size || !std::ranges::all_of(pin.bytes(), is_right)) ++errors_;
  }

  Pool& pool_;
  std::mt19937_64 random_;
  std::vector<Object> objects_;
  uint64_t errors_ = 0;
};

void run_workers(PoolRig& rig, size_t count, int steps) {
  std::vector<Worker> workers;
  for (size_t i = 0; i < count; ++i) workers.emplace_back(rig.pool, i);
  std::atomic<bool> done = false;
  std::thread observer([&] {
    while (!done) {
      rig.pool.release_free_spans(64 * kKiB);
      EXPECT_LE(rig.pool.stats().freeable, kGiB);
    }
  });
  // The reclaim thread, and somebody who compacts by hand.
  std::atomic<uint64_t> pages_freed = 0;
  const auto compact = [&](Bytes budget) {
    while (!done) pages_freed += rig.pool.compact(budget).pages_freed;
  };
  std::thread background([&] { compact(64 * kKiB); });
  std::thread manual([&] { compact(kGiB); });
  {
    std::vector<std::jthread> threads;
    for (Worker& worker : workers) threads.emplace_back([&worker, steps] { worker.run(steps); });
  }
  done = true;
  observer.join();
  background.join();
  manual.join();
  EXPECT_EQ(rig.pool.stats().pages_compacted, pages_freed);
  rig.pool.compact();
  EXPECT_EQ(rig.pool.compactable(), 0) << "one that is not disturbed frees what the others left";
  EXPECT_THAT(rig.audit(), IsEmpty());
  for (Worker& worker : workers) {
    EXPECT_EQ(worker.errors(), 0);
    worker.drop_all();
  }
  EXPECT_EQ(rig.pool.stats().span_bytes, 0);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

TEST(PoolConcurrency, ThreadsDoNotDisturbEachOther) {
  const Image image(pool_image());
  PoolRig rig(image, kGiB, kMiB);
  run_workers(rig, 4, 3000);
}

TEST(PoolConcurrency, ThreadsThatMeetTheCapLeaveTheCountersRight) {
  const Image image(pool_image());
  PoolRig rig(image, 3 * kMiB, kMiB);
  run_workers(rig, 4, 3000);
}

// Readers hold their pins while compaction runs; what they look at neither moves nor changes.
TEST(PoolConcurrency, WhatIsPinnedStaysWhileTheRestIsCompacted) {
  const Image image(pool_image());
  PoolRig rig(image, kGiB, kMiB);
  std::mt19937_64 random(9);
  std::vector<Handle> handles;
  handles.reserve(2000);  // the readers look at the first 400
  const auto add = [&](uint32_t size) {
    const uint64_t tag = random();
    handles.push_back(rig.pool.allocate_packed(seeded_bytes(size, tag), 0, tag).value());
  };
  for (int i = 0; i < 2000; ++i) add(1 + uint32_t(random() % 3500));
  std::atomic<bool> done = false;
  std::atomic<uint64_t> pinned = 0;
  std::vector<std::jthread> readers;
  for (size_t reader = 0; reader < 2; ++reader)
    readers.emplace_back([&, reader] {
      std::mt19937_64 draws(reader);
      while (!done) {
        const Handle handle = handles[draws() % 400];  // those stay
        const Pin pin = rig.pool.pin(handle);
        const auto expected = seeded_bytes(rig.pool.size(handle), rig.pool.tag(handle));
        for (int look = 0; look < 3; ++look) {
          EXPECT_TRUE(std::ranges::equal(pin.bytes(), expected));
          std::this_thread::yield();
        }
        ++pinned;
      }
    });
  uint64_t freed = 0;
  for (int round = 0; round < 15; ++round) {
    std::shuffle(handles.begin() + 400, handles.end(), random);
    while (handles.size() > 700) {
      rig.pool.free(handles.back());
      handles.pop_back();
    }
    freed += rig.pool.compact().pages_freed;
    while (handles.size() < 2000) add(1 + uint32_t(random() % 3500));
  }
  while (pinned < 10) std::this_thread::yield();
  done = true;
  readers.clear();
  EXPECT_GT(freed, 0);
  EXPECT_THAT(rig.audit(), IsEmpty());
  rig.pool.compact();
  EXPECT_EQ(rig.pool.compactable(), 0);
}

TEST(PoolConcurrency, ManyThreadsReadOneObject) {
  const Image image(pool_image());
  PoolRig rig(image);
  const auto bytes = seeded_bytes(10000, 1);
  const Handle handle = rig.pool.allocate_packed(bytes, 0, 0).value();
  const Handle small = rig.pool.allocate_packed(std::span(bytes).first(100), 0, 0).value();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&] {
        for (int round = 0; round < 500; ++round) {
          EXPECT_EQ(read(rig.pool, handle), bytes);
          EXPECT_EQ(rig.pool.pin(small).bytes().size(), 100);
        }
      });
  }
  rig.pool.free(handle);
  rig.pool.free(small);
  EXPECT_THAT(rig.audit(), IsEmpty());
}

}  // namespace
}  // namespace ztmpfs
