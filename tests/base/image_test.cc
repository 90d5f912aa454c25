#include "base/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "tests/base/small_image.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;

std::string refusal_of(ImageFiles files) {
  try {
    const Image image(std::move(files));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "accepted";
}

ImageFiles duplicate(const ImageFiles& files) {
  return {UniqueFd(::dup(files.meta.get())), UniqueFd(::dup(files.data.get())), UniqueFd(::dup(files.buffers.get()))};
}

template <class T>
void overwrite(const UniqueFd& fd, Bytes offset, T value) {
  ASSERT_EQ(::pwrite(fd.get(), &value, sizeof(value), off_t(offset)), ssize_t(sizeof(value)));
}

size_t mappings() {
  size_t lines = 0;
  FILE* maps = std::fopen("/proc/self/maps", "re");
  for (int character = 0; (character = std::fgetc(maps)) != EOF;) lines += character == '\n';
  std::fclose(maps);
  return lines;
}

TEST(Image, KeepsItsGeometry) {
  const Image image(small_image());
  EXPECT_EQ(image.geometry().capacity, small_geometry().capacity);
  EXPECT_EQ(image.geometry().block_size, small_geometry().block_size);
  EXPECT_EQ(image.header().request_slots, 2u);
  EXPECT_EQ(image.buffer(1).length(), small_geometry().request_buffer_size);
}

TEST(Image, HasRegionsThatDoNotOverlap) {
  const Image image(small_image());
  std::byte* end = image.meta().base();
  for (uint32_t id = 0; id < uint32_t(RegionId::kCount); ++id) {
    const Region region = image.region(RegionId(id));
    EXPECT_EQ(region.base(), end) << "region " << id;
    EXPECT_GT(region.length(), 0u);
    EXPECT_EQ(region.length() % kPageSize, 0u);
    end = region.base() + region.length();
  }
  EXPECT_EQ(end, image.meta().base() + image.meta().length());
}

TEST(Image, HoldsOnlyItsHeaderWhenNew) {
  const Image image(small_image());
  EXPECT_EQ(image.allocated(), kPageSize);
}

TEST(Image, IsSeenByEveryMapping) {
  const Image image(small_image());
  const Image other(duplicate(image.files()));
  image.region(RegionId::kNames).base()[5000] = std::byte{42};
  EXPECT_EQ(other.region(RegionId::kNames).base()[5000], std::byte{42});
  EXPECT_EQ(other.header().identity, image.header().identity);
  image.buffer(1).base()[0] = std::byte{43};
  EXPECT_EQ(other.buffer(1).base()[0], std::byte{43});
  EXPECT_EQ(other.buffer(0).base()[0], std::byte{0});
}

TEST(Image, HasAnIdentityOfItsOwn) {
  const Image one(small_image());
  const Image other(small_image());
  EXPECT_NE(one.header().identity, other.header().identity);
}

TEST(Image, RefusesAForeignFile) {
  ImageFiles files = small_image();
  overwrite(files.meta, 0, uint64_t{0x1122334455667788});
  EXPECT_THAT(refusal_of(std::move(files)), HasSubstr("wrong magic number"));
}

TEST(Image, RefusesAnUnfinishedFile) {
  ImageFiles files = small_image();
  overwrite(files.meta, 0, uint64_t{0});
  EXPECT_THAT(refusal_of(std::move(files)), HasSubstr("wrong magic number"));
}

TEST(Image, RefusesAnotherLayoutAndNamesBoth) {
  ImageFiles files = small_image();
  overwrite(files.meta, offsetof(ImageHeader, layout_version), uint32_t{77});
  const std::string refusal = refusal_of(std::move(files));
  EXPECT_THAT(refusal, HasSubstr("version 77"));
  EXPECT_THAT(refusal, HasSubstr("version " + std::to_string(ImageHeader::kLayoutVersion)));
}

TEST(Image, RefusesTruncatedFiles) {
  for (UniqueFd ImageFiles::* file : {&ImageFiles::meta, &ImageFiles::data, &ImageFiles::buffers}) {
    for (const off_t length : {off_t(0), off_t(100), off_t(kPageSize)}) {
      ImageFiles files = small_image();
      ASSERT_EQ(::ftruncate((files.*file).get(), length), 0);
      EXPECT_THAT(refusal_of(std::move(files)), testing::AnyOf(HasSubstr("truncated"), HasSubstr("sizes")));
    }
  }
}

TEST(Image, RefusesFilesOfDifferentImages) {
  ImageGeometry larger = small_geometry();
  larger.capacity *= 2;
  ImageFiles files = small_image();
  files.data = ImageFiles::create(larger).data;
  EXPECT_THAT(refusal_of(std::move(files)), HasSubstr("sizes"));
}

TEST(Image, RefusesAMissingFile) {
  ImageFiles files = small_image();
  files.data.reset();
  EXPECT_THROW(Image{std::move(files)}, std::system_error);
}

TEST(Image, LeavesNoMappingBehindWhenItRefuses) {
  refusal_of(ImageFiles{});
  const size_t before = mappings();
  for (int round = 0; round < 10; ++round) {
    ImageFiles files = small_image();
    overwrite(files.meta, 0, uint64_t{0});
    refusal_of(std::move(files));
  }
  EXPECT_LT(mappings(), before + 10);
}

TEST(Region, GivesPunchedPagesBackToTheOs) {
  const Image image(small_image());
  const Region region = image.data();
  ASSERT_TRUE(region.populate(0, 16 * kPageSize));
  region.base()[3 * kPageSize] = std::byte{1};
  EXPECT_EQ(image.allocated(), 17 * kPageSize);
  region.punch(2 * kPageSize, 4 * kPageSize);
  EXPECT_EQ(image.allocated(), 13 * kPageSize);
  EXPECT_EQ(region.base()[3 * kPageSize], std::byte{0});
}

TEST(Region, PunchesInItsOwnPartOfTheFile) {
  const Image image(small_image());
  image.region(RegionId::kInodes).base()[0] = std::byte{1};
  image.region(RegionId::kNames).base()[0] = std::byte{2};
  image.region(RegionId::kNames).punch(0, kPageSize);
  EXPECT_EQ(image.region(RegionId::kInodes).base()[0], std::byte{1});
  EXPECT_EQ(image.region(RegionId::kNames).base()[0], std::byte{0});
}

TEST(Region, VisitsResidentRunsInOrderAndWithinItself) {
  const Image image(small_image());
  const Region region = image.region(RegionId::kNames);
  for (const Bytes page : {0, 1, 5, 9}) ASSERT_TRUE(region.populate(page * kPageSize, kPageSize));
  ASSERT_TRUE(region.populate(region.length() - kPageSize, kPageSize));
  ASSERT_TRUE(image.region(RegionId::kLongNames).populate(0, kPageSize));
  ASSERT_TRUE(image.region(RegionId::kInodes).populate(0, kPageSize));
  std::vector<std::pair<Bytes, Bytes>> runs;
  region.for_each_resident(
      [&](Bytes offset, Bytes length) { runs.emplace_back(offset / kPageSize, length / kPageSize); });
  EXPECT_THAT(runs, testing::ElementsAre(std::pair(0, 2), std::pair(5, 1), std::pair(9, 1),
                                         std::pair(region.length() / kPageSize - 1, 1)));
}

TEST(RegionDeathTest, RefusesToPunchOutsideItself) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const Image image(small_image());
  const Region region = image.region(RegionId::kNames);
  EXPECT_DEATH(region.punch(region.length(), kPageSize), "punch out of range");
  EXPECT_DEATH(region.punch(1, kPageSize), "punch out of range");
}

}  // namespace
}  // namespace ztmpfs
