#include "daemon/adopted_mount.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

#include "base/durable_text.h"

namespace ztmpfs {
namespace {

constexpr const char* kMadeWith = "size=256M,block=64K,mode=750,xattr";

class AdoptedMountTest : public testing::Test {
 protected:
  AdoptedMountTest() { image_.describe_mount({"/mnt/disk", "0:99", format_options(made_)}); }

  static Options options(const std::string& text, const std::string& mountpoint = "/mnt/disk") {
    Surroundings surroundings = Surroundings::current();
    surroundings.config_dir.clear();
    return resolve_options("disk", mountpoint, split_settings(text), surroundings);
  }
  // As the server does when an option is set.
  void change(const std::string& text) {
    Image image({UniqueFd(::dup(image_.meta.get())), UniqueFd(::dup(image_.data.get())),
                 UniqueFd(::dup(image_.buffers.get()))});
    image.header().changed_options.store(text);
  }

  const Options made_ = options(kMadeWith);
  const ImageFiles image_ = ImageFiles::create(image_geometry(made_));
};

TEST_F(AdoptedMountTest, SameOptionsGoOnWithWhatWasChangedMeanwhile) {
  change("size=134217728");
  EXPECT_EQ(format_options(adopt_options(options(kMadeWith), image_)), format_options(made_));
  EXPECT_EQ(image_.changed_options(), "size=134217728");
}

TEST_F(AdoptedMountTest, OtherLiveOptionsApplyAndReplaceWhatWasChanged) {
  change("size=134217728");
  const Options adopted =
      adopt_options(options("size=300M,hot=32M,psi=some:200ms/2s,block=64K,mode=750,xattr,hang=60s"), image_);
  EXPECT_EQ(adopted.size, 300 * kMiB);
  EXPECT_EQ(adopted.hot, 32 * kMiB);
  EXPECT_EQ(adopted.psi, "some:200ms/2s");
  EXPECT_EQ(adopted.hang, std::chrono::seconds(60));
  EXPECT_EQ(image_.changed_options(), "");
}

TEST_F(AdoptedMountTest, WhatAMountIsMadeWithStays) {
  const Options adopted = adopt_options(options("size=256M,block=4K,mode=700,codec=lz4", "/elsewhere"), image_);
  EXPECT_EQ(format_options(adopted), format_options(made_));
  EXPECT_EQ(adopted.mountpoint, "/mnt/disk");
}

TEST_F(AdoptedMountTest, SizeStaysWhereTheOtherOneCannotBe) {
  ASSERT_EQ(::posix_fallocate(image_.data.get(), 0, off_t(100 * kMiB)), 0);
  EXPECT_EQ(adopt_options(options("size=64M,block=64K"), image_).size, 256 * kMiB);
  EXPECT_EQ(adopt_options(options("size=100G,block=64K"), image_).size, 256 * kMiB);
  EXPECT_EQ(adopt_options(options("size=128M,block=64K"), image_).size, 128 * kMiB);
}

TEST_F(AdoptedMountTest, ForeignImagesAreRefused) {
  constexpr uint32_t kOther = ImageHeader::kLayoutVersion + 1;
  ASSERT_EQ(::pwrite(image_.meta.get(), &kOther, sizeof(kOther), offsetof(ImageHeader, layout_version)),
            ssize_t(sizeof(kOther)));
  EXPECT_THROW(adopt_options(options(kMadeWith), image_), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
