#include <fcntl.h>

#include <limits>
#include <random>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint32_t kPunch = FileSystem::kPunchHole | FileSystem::kKeepSize;
constexpr uint64_t kFileSizeMax = std::numeric_limits<int64_t>::max();

class Space : public testing::Test {
 protected:
  uint64_t make_file(std::string_view name) { return rig_.create(kRoot, name)->ino; }
  FsRig rig_{32 * kMiB};
};

TEST_F(Space, FallocateRefusesWhatItCannotDo) {
  const uint64_t file = make_file("file");
  const uint64_t directory = rig_.mkdir(kRoot, "directory")->ino;
  const struct {
    uint64_t ino;
    uint32_t flags;
    uint64_t offset;
    uint64_t length;
    std::errc error;
  } cases[] = {
      {file, 0, 0, 0, std::errc::invalid_argument},
      {file, kPunch, 0, 0, std::errc::invalid_argument},
      {file, FileSystem::kPunchHole, 0, 1, std::errc::operation_not_supported},
      {file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, std::errc::operation_not_supported},
      {file, FALLOC_FL_INSERT_RANGE, 0, 4096, std::errc::operation_not_supported},
      {file, FALLOC_FL_UNSHARE_RANGE, 0, 4096, std::errc::operation_not_supported},
      {file, kPunch | FileSystem::kZeroRange, 0, 4096, std::errc::operation_not_supported},
      {file, 0, kFileSizeMax, 1, std::errc::file_too_large},
      {file, 0, 1, kFileSizeMax, std::errc::file_too_large},
      {file, 0, uint64_t(-1), 1, std::errc::file_too_large},
      {file, 0, 0, 33 * kMiB, std::errc::no_space_on_device},
      {file, FileSystem::kKeepSize, 0, kFileSizeMax, std::errc::no_space_on_device},
      {directory, 0, 0, 1, std::errc::is_a_directory},
      {file + (uint64_t(7) << 32), 0, 0, 1, std::errc(ESTALE)},
  };
  for (const auto& each : cases)
    EXPECT_EQ(rig_.fallocate(each.ino, each.flags, each.offset, each.length).error(), each.error)
        << each.flags << " " << each.offset << " " << each.length;
  const auto attr = rig_.fs().getattr(file);
  EXPECT_EQ(attr->size, 0U);
  EXPECT_EQ(attr->blocks, 0U);
  rig_.expect_sound();
}

TEST_F(Space, AllocationChangesSizeBlocksAndTimes) {
  const uint64_t file = make_file("file");
  rig_.clock().advance(std::chrono::seconds(5));
  ASSERT_TRUE(rig_.fallocate(file, FileSystem::kKeepSize, 0, 64 * kKiB).has_value());
  auto attr = rig_.fs().getattr(file);
  EXPECT_EQ(attr->size, 0U);
  EXPECT_EQ(attr->blocks, 128U);
  EXPECT_GT(attr->mtime, attr->btime);
  EXPECT_EQ(attr->ctime, attr->mtime);
  ASSERT_TRUE(rig_.fallocate(file, 0, 32 * kKiB, 64 * kKiB).has_value());
  attr = rig_.fs().getattr(file);
  EXPECT_EQ(attr->size, 96 * kKiB);
  EXPECT_EQ(attr->blocks, 192U);
  EXPECT_EQ(rig_.read(file), std::string(96 * kKiB, '\0'));
}

TEST_F(Space, TruncationEndsReservationsBehindTheNewEndEvenIfItIsTheOldOne) {
  const uint64_t file = make_file("file");
  ASSERT_EQ(rig_.write(file, 0, "contents"), 8U);
  for (const uint64_t length : {20 * kKiB, kMiB}) {
    ASSERT_TRUE(rig_.fallocate(file, FileSystem::kKeepSize, 0, length).has_value());
    ASSERT_GE(rig_.fs().getattr(file)->blocks, length / 512);
    ASSERT_TRUE(rig_.truncate(file, 8).has_value());
    EXPECT_LE(rig_.fs().getattr(file)->blocks, 8U);
  }
  EXPECT_EQ(rig_.read(file), "contents");
  rig_.expect_sound();
}

TEST_F(Space, ReservationsBehindTheEndOutliveTheServer) {
  const uint64_t file = make_file("file");
  ASSERT_TRUE(rig_.fallocate(file, FileSystem::kKeepSize, 0, kMiB).has_value());
  rig_.attach();
  rig_.volume().settle();
  EXPECT_EQ(rig_.fs().getattr(file)->blocks, kMiB / 512);
  rig_.expect_sound();
}

TEST_F(Space, PunchedRangesReadAsZerosAndKeepTheSize) {
  const uint64_t file = make_file("file");
  std::string contents(200'000, 'x');
  ASSERT_EQ(rig_.write(file, 0, contents), contents.size());
  rig_.volume().settle();
  ASSERT_TRUE(rig_.fallocate(file, kPunch, 1000, 150'000).has_value());
  contents.replace(1000, 150'000, 150'000, '\0');
  EXPECT_EQ(rig_.read(file), contents);
  ASSERT_TRUE(rig_.fallocate(file, kPunch, 190'000, kMiB).has_value());
  contents.replace(190'000, 10'000, 10'000, '\0');
  EXPECT_EQ(rig_.read(file), contents);
  rig_.expect_sound();
}

TEST_F(Space, SeekTellsContentsAndHoles) {
  const uint64_t file = make_file("file");
  ASSERT_TRUE(rig_.truncate(file, kMiB).has_value());
  ASSERT_EQ(rig_.write(file, 320 * kKiB, std::string(40 * kKiB, 'x')), 40 * kKiB);
  EXPECT_EQ(rig_.fs().seek_data(file, 0), 320 * kKiB);
  EXPECT_EQ(rig_.fs().seek_hole(file, 0), 0U);
  EXPECT_EQ(rig_.fs().seek_hole(file, 321 * kKiB), 360 * kKiB);
  EXPECT_EQ(rig_.fs().seek_data(file, 330 * kKiB), 330 * kKiB);
  EXPECT_EQ(rig_.fs().seek_hole(file, 600 * kKiB), 600 * kKiB);
  for (const uint64_t offset : {360 * kKiB, kMiB - 1, kMiB, 2 * kMiB})
    EXPECT_EQ(rig_.fs().seek_data(file, offset).error(), std::errc::no_such_device_or_address) << offset;
  EXPECT_EQ(rig_.fs().seek_hole(file, kMiB).error(), std::errc::no_such_device_or_address);
}

TEST_F(Space, CopiesEndWithTheSourceAndRefuseOverlaps) {
  const uint64_t from = make_file("from");
  const uint64_t to = make_file("to");
  std::string contents(3 * kMiB + 77, 'x');
  for (size_t i = 0; i < contents.size(); ++i) contents[i] = char(i / 5000);
  ASSERT_EQ(rig_.write(from, 0, contents), contents.size());
  EXPECT_EQ(rig_.copy({from, 0, to, 0, 1 << 30}), contents.size());
  EXPECT_EQ(rig_.read(to, 0, 4 << 20), contents);
  EXPECT_EQ(rig_.copy({from, contents.size(), to, 0, 100}), 0U);
  EXPECT_EQ(rig_.copy({from, 0, from, 50, 100}).error(), std::errc::invalid_argument);
  EXPECT_EQ(rig_.copy({from, 50, from, 0, 100}).error(), std::errc::invalid_argument);
  EXPECT_EQ(rig_.copy({from, 0, from, 5 * kMiB, kMiB}), kMiB);
  EXPECT_EQ(rig_.fs().getattr(from)->size, 6 * kMiB);
  EXPECT_EQ(rig_.copy({from, 0, to, kFileSizeMax - 10, 11}).error(), std::errc::file_too_large);
  rig_.expect_sound();
}

TEST_F(Space, WritesToWhatIsAllocatedSucceedOnceNothingElseDoes) {
  const uint64_t file = make_file("file");
  const uint64_t other = make_file("other");
  ASSERT_TRUE(rig_.fallocate(file, 0, 0, 4 * kMiB).has_value());
  std::mt19937_64 random(5);
  std::string noise(256 * kKiB, '\0');
  for (auto& byte : noise) byte = char(random());
  uint64_t offset = 0;
  while (const size_t written = rig_.write(other, offset, noise).value_or(0)) offset += written;
  ASSERT_GT(offset, 16 * kMiB);
  for (uint64_t at = 0; at < 4 * kMiB; at += noise.size()) ASSERT_EQ(rig_.write(file, at, noise), noise.size()) << at;
  EXPECT_EQ(rig_.read(file, 3 * kMiB, noise.size()), noise);
  rig_.expect_sound();
}

TEST_F(Space, WhatIsAllocatedCanBeWrittenOnceTheTablesAreFullToo) {
  const uint64_t file = make_file("file");
  ASSERT_TRUE(rig_.set_xattr(file, "user.a", std::string(1000, 'a')));
  ASSERT_TRUE(rig_.set_xattr(file, "user.b", "b"));
  ASSERT_TRUE(rig_.fallocate(file, 0, 0, 20 * kMiB).has_value());
  for (int i = 0; rig_.create(kRoot, "name " + std::to_string(i)); ++i) {
  }
  ASSERT_FALSE(rig_.create(kRoot, "one more"));
  const std::string block(256 * kKiB, 'x');
  for (uint64_t at = 0; at < 20 * kMiB; at += block.size()) ASSERT_EQ(rig_.write(file, at, block), block.size()) << at;
  EXPECT_TRUE(rig_.remove_xattr(file, "user.a").has_value());
  EXPECT_LE(rig_.volume().budget().used(), rig_.volume().budget().limit());
  rig_.expect_sound();
}

TEST_F(Space, AWriteThatACrashCutsKeepsWhatIsPromised) {
  const uint64_t file = make_file("file");
  ASSERT_TRUE(rig_.fallocate(file, FileSystem::kKeepSize, 0, 4 * kMiB).has_value());
  const Bytes promised = rig_.volume().budget().promised();
  // Blocks are written before the size is.
  const std::string data(100'000, 'x');
  ASSERT_EQ(rig_.volume().store().write(ino_index(file), 0, std::as_bytes(std::span(data))), data.size());
  rig_.attach();
  EXPECT_EQ(rig_.volume().store().end(ino_index(file)), 0U);
  EXPECT_EQ(rig_.volume().budget().promised(), promised);
  EXPECT_EQ(rig_.fs().getattr(file)->blocks, 4 * kMiB / 512);
  EXPECT_EQ(rig_.read(file), "");
  rig_.expect_sound();
}

TEST_F(Space, AFullMountWithReservedBlocksHasNothingToDo) {
  const uint64_t file = make_file("file");
  const uint64_t other = make_file("other");
  ASSERT_TRUE(rig_.fallocate(file, 0, 0, 16 * kMiB).has_value());
  std::mt19937_64 random(8);
  std::string noise(256 * kKiB, '\0');
  for (auto& byte : noise) byte = char(random());
  for (uint64_t at = 0; at < 16 * kMiB; at += noise.size()) ASSERT_EQ(rig_.write(file, at, noise), noise.size());
  uint64_t offset = 0;
  while (const size_t written = rig_.write(other, offset, noise).value_or(0)) offset += written;
  rig_.volume().settle();
  EXPECT_EQ(rig_.volume().store().seal(1000, true, Effort::kFast), 0U);
  EXPECT_EQ(rig_.read(file, 0, noise.size()), noise);
  rig_.expect_sound();
}

TEST_F(Space, SharedMappingsMayUseAReserveAtTheCap) {
  const uint64_t file = make_file("file");
  const uint64_t mapped = make_file("mapped");
  std::mt19937_64 random(6);
  std::string noise(128 * kKiB, '\0');
  for (auto& byte : noise) byte = char(random());
  uint64_t offset = 0;
  while (const size_t written = rig_.write(file, offset, noise).value_or(0)) offset += written;
  const auto write_back = [&](uint64_t at) {
    return rig_.run([&](Operation& op) {
      return rig_.fs().write(op, mapped, at, std::as_bytes(std::span(noise)).first(4096), {.is_write_back = true});
    });
  };
  EXPECT_EQ(write_back(0), 4096U);
  EXPECT_EQ(rig_.fs().write_back_failures(), 0U);
  uint64_t at = 0;
  while (write_back(at).value_or(0) == 4096 && at < 8 * kMiB) at += 4096;
  EXPECT_LT(at, 8 * kMiB);
  EXPECT_EQ(write_back(at).error(), std::errc::no_space_on_device);
  EXPECT_GE(rig_.fs().write_back_failures(), 2U);
  EXPECT_EQ(rig_.read(mapped, 0, 4096), noise.substr(0, 4096));
  EXPECT_TRUE(rig_.unlink(kRoot, "file").has_value());
  rig_.expect_sound();
}

TEST(SpaceWithALogicalLimit, StatfsIsExactAtEachStep) {
  FsRig rig(64 * kMiB, 16 * kMiB);
  const auto used = [&] { return rig.fs().usage().total - rig.fs().usage().available; };
  const uint64_t file = rig.create(kRoot, "file")->ino;
  const uint64_t copy = rig.create(kRoot, "copy")->ino;
  ASSERT_EQ(rig.write(file, 0, std::string(5 * kMiB, 'x')), 5 * kMiB);
  EXPECT_EQ(used(), 5 * kMiB);
  ASSERT_TRUE(rig.fallocate(copy, 0, 0, 6 * kMiB).has_value());
  EXPECT_EQ(used(), 11 * kMiB);
  ASSERT_EQ(rig.copy({file, 0, copy, 4 * kMiB, 5 * kMiB}), 5 * kMiB);
  EXPECT_EQ(used(), 14 * kMiB);
  EXPECT_EQ(rig.fallocate(file, 0, 0, 8 * kMiB).error(), std::errc::no_space_on_device);
  EXPECT_EQ(used(), 14 * kMiB);
  ASSERT_TRUE(rig.fallocate(file, kPunch, kMiB, 2 * kMiB).has_value());
  EXPECT_EQ(used(), 12 * kMiB);
  ASSERT_TRUE(rig.truncate(copy, 3 * kMiB).has_value());
  EXPECT_EQ(used(), 6 * kMiB);
  ASSERT_TRUE(rig.unlink(kRoot, "file").has_value());
  rig.forget(file);
  EXPECT_EQ(used(), 3 * kMiB);
  rig.expect_sound();
}

}  // namespace
}  // namespace ztmpfs
