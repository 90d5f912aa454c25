#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Stands in for an open pressure file with a trigger: a TCP connection, whose out-of-band data is POLLPRI as well.
class PressureLine {
 public:
  PressureLine() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &size), 0);
    far_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(far_.get(), generic, size), 0);
    near_.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    EXPECT_TRUE(near_);
  }

  /// The end to wait on.
  UniqueFd open() const { return UniqueFd(::fcntl(near_.get(), F_DUPFD_CLOEXEC, 0)); }
  void fire() const { EXPECT_EQ(::send(far_.get(), "!", 1, MSG_OOB | MSG_NOSIGNAL), 1); }
  /// To be called at each event: the kernel's trigger is quiet again once it was reported, a connection is not.
  void calm() const {
    char byte = 0;
    EXPECT_EQ(::recv(near_.get(), &byte, 1, MSG_OOB), 1);
  }
  /// Makes it report POLLERR for ever.
  void die() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(far_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    far_.reset();
  }

 private:
  UniqueFd far_;
  UniqueFd near_;
};

}  // namespace ztmpfs
