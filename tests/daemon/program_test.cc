// The program that servers are started from, and the newer one that is asked before it takes its place.
#include "daemon/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tests/daemon/probed_image.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

const std::filesystem::path kBinaries = ZTMPFS_BINARY_DIR;

ino_t file_of(const Program& program) {
  struct stat status{};
  EXPECT_EQ(::fstat(program.fd(), &status), 0);
  return status.st_ino;
}

ino_t file_of(const std::filesystem::path& path) {
  struct stat status{};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_ino;
}

// Something is installed, and it may be replaced by something else.
class ProgramTest : public testing::Test {
 protected:
  void install(const std::filesystem::path& from) {
    std::filesystem::remove(installed_);
    std::filesystem::copy_file(from, installed_);
  }
  std::string probe(const std::string& options = "xattr") {
    const ImageFiles files = image_.files();
    Program program(installed_, files, ProbedImage::arguments(options));
    return std::string(program.probe());
  }
  void expect_refusal(const char* part) {
    const std::string sentence = probe();
    EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
  }

  TemporaryDirectory directory_;
  std::filesystem::path installed_ = std::filesystem::path(directory_.path()) / "ztmpfs";
  ProbedImage image_;
};

TEST_F(ProgramTest, TheSameVersionMayTakeOver) {
  install(kBinaries / "ztmpfs");
  EXPECT_EQ(probe(), "");
  EXPECT_TRUE(image_.is_served());
}

TEST_F(ProgramTest, WhatItSaysAgainstItIsPassedOn) {
  install(kBinaries / "ztmpfs");
  EXPECT_EQ(probe("hot=16M"),
            "it would agree with the kernel to something else than what the mount has: xattr (1 then, 0 now)");
  ++image_.header().layout_version;
  expect_refusal("layout version");
  EXPECT_TRUE(image_.is_served());
}

TEST_F(ProgramTest, WhatDoesNotAnswerAsItShouldIsRefused) {
  expect_refusal("cannot be opened: No such file or directory");
  std::ofstream(installed_) << "no program";
  expect_refusal("cannot be started: Permission denied");
  ::chmod(installed_.c_str(), 0755);
  expect_refusal("cannot be started: Exec format error");
  install("/bin/dash");
  expect_refusal("too old to be asked");  // exit code 2, as from each program that does not know the option
  install("/bin/false");
  expect_refusal("ended with exit code 1 ");
  install(kBinaries / "ztmpfs_probed_chatter");
  expect_refusal("words, words, words");
  EXPECT_TRUE(image_.is_served());
}

TEST_F(ProgramTest, WhatDoesNotAnswerInTimeIsEnded) {
  install(kBinaries / "ztmpfs_probed_hang");
  const ImageFiles files = image_.files();
  Program program(installed_, files, ProbedImage::arguments());
  EXPECT_NE(program.probe(std::chrono::milliseconds(100)).find("has not said in time"), std::string::npos);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  program.take_candidate();
  EXPECT_NE(file_of(program), file_of(installed_)) << "it was taken all the same";
}

TEST_F(ProgramTest, StaysWhatItIsUntilAnotherWasAskedAndTaken) {
  install(kBinaries / "ztmpfs");
  const ImageFiles files = image_.files();
  Program program(installed_, files, ProbedImage::arguments());
  const ino_t own = file_of("/proc/self/exe");
  EXPECT_EQ(file_of(program), own);
  EXPECT_EQ(program.probe(), "");
  EXPECT_EQ(file_of(program), own);
  program.take_candidate();
  EXPECT_EQ(file_of(program), file_of(installed_));
  EXPECT_EQ(::fcntl(program.fd(), F_GETFD), FD_CLOEXEC);
  program.take_candidate();
  EXPECT_EQ(file_of(program), own) << "the former one is kept";
}

TEST(Program, KnowsWhereItWasStartedFrom) {
  EXPECT_EQ(file_of(Program::started_from()), file_of("/proc/self/exe"));
  EXPECT_EQ(Program::started_from().front(), '/');
}

}  // namespace
}  // namespace ztmpfs
