#include "base/runtime_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace ztmpfs {
namespace {

class RuntimeDir : public testing::Test {
 protected:
  RuntimeDir() {
    std::string path = "/tmp/ztmpfs-run-XXXXXX";
    parent_ = ::mkdtemp(path.data());
  }
  ~RuntimeDir() override {
    ::unlink((parent_ + "/run").c_str());
    ::rmdir((parent_ + "/run").c_str());
    ::rmdir(parent_.c_str());
    ::unsetenv("ZTMPFS_RUNTIME_DIR");
  }

  std::string parent_;
};

TEST_F(RuntimeDir, EnvironmentChoosesIt) {
  ::setenv("ZTMPFS_RUNTIME_DIR", "/some/where", 1);
  EXPECT_EQ(runtime_dir(), "/some/where");
  ::setenv("ZTMPFS_RUNTIME_DIR", "relative", 1);
  EXPECT_NE(runtime_dir(), "relative");
  EXPECT_EQ(control_socket_path("/run/ztmpfs", "build"), "/run/ztmpfs/build.sock");
}

TEST_F(RuntimeDir, IsMadeOnceAndKept) {
  make_runtime_dir(parent_ + "/run");
  make_runtime_dir(parent_ + "/run");
  struct stat status{};
  ASSERT_EQ(::stat((parent_ + "/run").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0022, 0U) << "others can write";
}

TEST_F(RuntimeDir, LinkOfSomebodyIsRefused) {
  ASSERT_EQ(::symlink("/tmp", (parent_ + "/run").c_str()), 0);
  EXPECT_THROW(make_runtime_dir(parent_ + "/run"), std::runtime_error);
  EXPECT_THROW(make_runtime_dir(parent_ + "/missing/run"), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
