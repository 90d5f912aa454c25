#include "daemon/name_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/runtime_dir.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

// Somebody who answers on the control socket of the mount `name`.
UniqueFd listen_for(const std::string& directory, const std::string& name) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = control_socket_path(directory, name);
  std::memcpy(address.sun_path, path.data(), path.size());
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(socket.get(), 4), 0);
  return socket;
}

TEST(NameLock, ServedNameIsTaken) {
  const TemporaryDirectory directory;
  const NameLock first(directory.path(), "build");
  const UniqueFd server = listen_for(directory.path(), "build");
  EXPECT_THROW(NameLock(directory.path(), "build"), std::runtime_error);
  EXPECT_NO_THROW(NameLock(directory.path(), "other"));
}

TEST(NameLock, EndingPredecessorIsWaitedFor) {
  const TemporaryDirectory directory;
  std::optional<NameLock> first(std::in_place, directory.path(), "build");
  std::jthread predecessor([&first] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    first->remove_file();
    first.reset();
  });
  const NameLock second(directory.path(), "build");
  EXPECT_TRUE(std::filesystem::exists(directory.path() + "/build.lock"));
}

TEST(NameLock, PredecessorThatStillAnswersForAMomentIsWaitedFor) {
  const TemporaryDirectory directory;
  std::optional<NameLock> first(std::in_place, directory.path(), "build");
  UniqueFd server = listen_for(directory.path(), "build");
  std::jthread predecessor([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    server.reset();
    first->remove_file();
    first.reset();
  });
  EXPECT_NO_THROW(NameLock(directory.path(), "build"));
}

TEST(NameLock, RemovedFileClaimsNothing) {
  const TemporaryDirectory directory;
  const NameLock first(directory.path(), "build");
  first.remove_file();
  EXPECT_NO_THROW(NameLock(directory.path(), "build"));
}

TEST(NameLock, UnwritableDirectoryIsNamed) {
  try {
    NameLock lock("/nonexistent", "build");
    FAIL() << "locked";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/build.lock"), std::string::npos) << error.what();
  }
}

TEST(NameLock, LockLastsAsLongAsADuplicate) {
  const TemporaryDirectory directory;
  UniqueFd duplicate;
  {
    const NameLock first(directory.path(), "build");
    duplicate.reset(::fcntl(first.fd(), F_DUPFD_CLOEXEC, 3));
  }
  const UniqueFd server = listen_for(directory.path(), "build");
  EXPECT_THROW(NameLock(directory.path(), "build"), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
