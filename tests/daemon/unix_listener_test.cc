#include "daemon/unix_listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

bool can_connect(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

TEST(UnixListener, WhatIsLeftAtThePathIsReplaced) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/x.sock";
  directory.write("x.sock", "left by somebody");
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const UniqueFd listener = listen_on(path, type);
    EXPECT_TRUE(can_connect(path, type));
  }
}

TEST(UnixListener, PathThatDoesNotFitIsNamed) {
  EXPECT_THROW(listen_on("/tmp/" + std::string(200, 'x'), SOCK_STREAM), std::runtime_error);
  EXPECT_THROW(listen_on("/nonexistent/x.sock", SOCK_STREAM), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
