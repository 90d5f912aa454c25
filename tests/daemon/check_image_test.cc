#include "daemon/check_image.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>

#include "daemon/server_descriptors.h"
#include "tests/fs/fs_rig.h"
#include "tests/support/image_snapshot.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kRoot = FileSystem::kRootIno;

class CheckImageTest : public testing::Test {
 protected:
  // As a killed server leaves it: much of what attach does is to be done.
  static ImageFiles make_image() {
    FsRig rig;
    for (int i = 0; i < 200; ++i) {
      const uint64_t ino = rig.create(kRoot, "file" + std::to_string(i))->ino;
      rig.write(ino, 0, std::string(size_t(i) * 100, char('a' + i % 26)) + std::to_string(i));
      rig.forget(ino);
    }
    const uint64_t large = rig.create(kRoot, "large")->ino;
    for (uint64_t i = 0; i < 40; ++i) rig.write(large, i * 32 * kKiB, std::string(20'000, char('a' + i % 26)));
    rig.volume().settle();
    for (int i = 0; i < 100; ++i) rig.unlink(kRoot, "file" + std::to_string(i));
    rig.unlink(kRoot, "large");
    rig.forget(large);
    // Contents behind the end, of a write that was not committed: attach cuts a sealed block.
    const uint64_t cut = rig.create(kRoot, "cut")->ino;
    std::string numbers;
    for (int i = 0; i < 4000; ++i) numbers += std::to_string(i) + " ";
    rig.write(cut, 0, numbers.substr(0, 10'000));
    const auto more = std::as_bytes(std::span(numbers)).subspan(9'000, 9'000);
    EXPECT_TRUE(rig.volume().store().write(ino_index(cut), 9'000, more));
    rig.volume().store().seal(1000, true, Effort::kFastForGood);
    return duplicate(rig.volume().image().files());
  }

  // All that is not zero: to look at a page that is not there makes one of zeros.
  static std::string bytes_of(const UniqueFd& file) {
    std::string result;
    std::string page(kPageSize, '\0');
    const std::string zeros = page;
    for (off_t at = 0; (at = ::lseek(file.get(), at, SEEK_DATA)) >= 0; at += off_t(kPageSize)) {
      EXPECT_EQ(::pread(file.get(), page.data(), page.size(), at), ssize_t(page.size()));
      if (page != zeros) result += std::to_string(at) + ":" + page;
    }
    return result;
  }
  static std::string bytes_of(const ImageFiles& files) {
    return bytes_of(files.meta) + bytes_of(files.data) + bytes_of(files.buffers);
  }
  static void damage(const ImageFiles& files) {
    const uint32_t version = 77;
    ASSERT_EQ(::pwrite(files.meta.get(), &version, sizeof(version), offsetof(ImageHeader, layout_version)), 4);
  }

  struct Answer {
    int exit_code;
    boost::json::value value;
  };
  // The program itself, as the holder runs it.
  static Answer run_check(const ImageFiles& files) {
    std::array<int, 2> output{};
    EXPECT_EQ(::pipe(output.data()), 0);
    const std::string argument = format_image_argument(kCheckArgument, files);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::dup2(output[1], STDOUT_FILENO);
      ::execl(ZTMPFS_PROGRAM, "ztmpfs", argument.c_str(), "-o", "size=64M", "name", "/mountpoint", nullptr);
      ::_exit(127);
    }
    ::close(output[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t count = 0; (count = ::read(output[0], buffer, sizeof(buffer))) > 0;)
      text.append(buffer, size_t(count));
    ::close(output[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(std::ranges::count(text, '\n'), 1) << text;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, boost::json::parse(text)};
  }

  static VolumeOptions options() {
    VolumeOptions options;
    options.size = 64 * kMiB;
    return options;
  }
};

TEST_F(CheckImageTest, ASoundImageHasNoBreachesAndStaysAsItIs) {
  const ImageFiles files = make_image();
  const std::string before = bytes_of(files);
  EXPECT_THAT(check_image(duplicate(files), options()), IsEmpty());
  EXPECT_TRUE(bytes_of(files) == before);
  EXPECT_THAT(check_image(duplicate(files), options()), IsEmpty()) << "again";
}

TEST_F(CheckImageTest, AFreshImageIsSound) {
  const ImageFiles files = ImageFiles::create(small_geometry());
  const std::string before = bytes_of(files);
  EXPECT_THAT(check_image(duplicate(files), options()), IsEmpty());
  EXPECT_TRUE(bytes_of(files) == before);
}

TEST_F(CheckImageTest, WhatCannotBeAttachedIsTheBreach) {
  const ImageFiles files = make_image();
  damage(files);
  const std::string before = bytes_of(files);
  EXPECT_THAT(check_image(duplicate(files), options()), ElementsAre(HasSubstr("layout version 77")));
  EXPECT_TRUE(bytes_of(files) == before);
}

TEST_F(CheckImageTest, TheProgramAnswersWithOneLineOfJson) {
  const ImageFiles files = make_image();
  const Answer sound = run_check(files);
  EXPECT_EQ(sound.exit_code, 0);
  EXPECT_EQ(sound.value, boost::json::parse(R"({"ok":true,"breaches":[]})"));
  damage(files);
  const Answer damaged = run_check(files);
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_EQ(damaged.value.at("ok"), false);
  EXPECT_THAT(std::string(damaged.value.at("breaches").at(0).as_string()), HasSubstr("layout version 77"));
}

TEST_F(CheckImageTest, DescriptorsThatAreNoneAreTheBreach) {
  const Answer answer = run_check(ImageFiles{});
  EXPECT_EQ(answer.exit_code, 1);
  EXPECT_EQ(answer.value.at("ok"), false);
}

}  // namespace
}  // namespace ztmpfs
