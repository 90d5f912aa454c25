#include "daemon/service_protocol.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/notify_socket.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

constexpr int kFirst = 200;  // the test program has descriptors of its own at the usual numbers
constexpr ImageGeometry kGeometry{.capacity = 16 * kMiB, .request_slots = 1};

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

ino_t number_of(int fd) {
  struct stat status{};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}

class ServiceProtocolTest : public testing::Test {
 protected:
  ServiceProtocolTest() {
    set("NOTIFY_SOCKET", path_);
    set("SYSTEMD_EXEC_PID", std::to_string(::getpid()));
  }
  ~ServiceProtocolTest() override {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
    for (int fd = kFirst; fd < kFirst + 8; ++fd) ::close(fd);
  }

  void set(const std::string& name, const std::string& value) {
    names_.push_back(name);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  // What the manager hands over, from kFirst on.
  void hand_over(const std::vector<std::pair<std::string, int>>& descriptors) {
    std::string text;
    for (size_t i = 0; i < descriptors.size(); ++i) {
      ASSERT_EQ(::dup2(descriptors[i].second, kFirst + int(i)), kFirst + int(i));
      text += (i == 0 ? "" : ":") + descriptors[i].first;
    }
    set("LISTEN_PID", std::to_string(::getpid()));
    set("LISTEN_FDS", std::to_string(descriptors.size()));
    set("LISTEN_FDNAMES", text);
  }
  void hand_over_image() {
    hand_over({{"ztmpfs-data", image_.data.get()},
               {"ztmpfs-meta", image_.meta.get()},
               {"ztmpfs-buffers", image_.buffers.get()}});
  }
  // A socket takes 10 messages; who sends more has to wait.
  void drain() const { while (!manager_.receive().text.empty()); }
  std::string refusal(ServiceProtocol& protocol) {
    try {
      protocol.take_stored();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  TemporaryDirectory directory_;
  std::string path_ = directory_.path() + "/notify";
  NotifySocket manager_{path_};
  ImageFiles image_ = ImageFiles::create(kGeometry);
  std::vector<std::string> names_;
};

TEST_F(ServiceProtocolTest, MessagesAreThoseOfTheProtocol) {
  set("WATCHDOG_USEC", "3000000");
  set("WATCHDOG_PID", std::to_string(::getpid()));
  const ServiceProtocol protocol = ServiceProtocol::from_environment();
  EXPECT_TRUE(protocol.is_present());
  EXPECT_TRUE(protocol.is_main_process());
  EXPECT_EQ(protocol.watchdog_interval(), std::chrono::milliseconds(1500));
  EXPECT_TRUE(protocol.ready(4711, "serving /mnt\nFDSTORE=1"));
  EXPECT_EQ(manager_.receive().text, "READY=1\nMAINPID=4711\nSTATUS=serving /mnt");
  EXPECT_TRUE(protocol.status("serving\nREADY=1"));
  EXPECT_EQ(manager_.receive().text, "STATUS=serving");
  protocol.watchdog();
  EXPECT_EQ(manager_.receive().text, "WATCHDOG=1");
  protocol.stopping();
  EXPECT_EQ(manager_.receive().text, "STOPPING=1");
}

TEST_F(ServiceProtocolTest, AbstractSocketsAreSpokenToAsWell) {
  const std::string name = "@ztmpfs-test-" + std::to_string(::getpid());
  const NotifySocket manager(name);
  set("NOTIFY_SOCKET", name);
  ServiceProtocol::from_environment().stopping();
  EXPECT_EQ(manager.receive().text, "STOPPING=1");
}

TEST_F(ServiceProtocolTest, EnvironmentIsNotInherited) {
  set("WATCHDOG_USEC", "3000000");
  set("FDSTORE", "8");
  hand_over_image();
  ServiceProtocol::from_environment(kFirst);
  for (const std::string& name : names_) EXPECT_EQ(std::getenv(name.c_str()), nullptr) << name;
}

TEST_F(ServiceProtocolTest, WithoutManagerNothingIsSaid) {
  ::unsetenv("NOTIFY_SOCKET");
  set("FDSTORE", "8");
  ServiceProtocol protocol = ServiceProtocol::from_environment();
  EXPECT_FALSE(protocol.is_present());
  EXPECT_TRUE(protocol.ready(1, ""));
  EXPECT_TRUE(protocol.reloading());
  protocol.store_image(image_);
  EXPECT_FALSE(protocol.keeps_image());
  EXPECT_FALSE(protocol.take_stored());
  EXPECT_EQ(manager_.receive().text, "");
}

TEST_F(ServiceProtocolTest, SocketsOfOtherKindsAreRefused) {
  for (const std::string& address : {std::string("vsock:2:1234"), std::string("notify"), "/" + std::string(200, 'x')}) {
    set("NOTIFY_SOCKET", address);
    EXPECT_THROW(ServiceProtocol::from_environment(), std::runtime_error) << address;
  }
}

TEST_F(ServiceProtocolTest, ManagerThatHasGoneDoesNoHarm) {
  set("FDSTORE", "8");
  ServiceProtocol protocol = ServiceProtocol::from_environment();
  ASSERT_EQ(::unlink(path_.c_str()), 0);
  protocol.watchdog();
  EXPECT_TRUE(protocol.reloading() && protocol.ready(1, "") && protocol.status("")) << "nobody is to be told again";
  protocol.store_image(image_);
  EXPECT_FALSE(protocol.keeps_image());
}

TEST_F(ServiceProtocolTest, ManagerThatIsTooBusyIsToldLater) {
  const ServiceProtocol protocol = ServiceProtocol::from_environment();
  while (protocol.status("serving")) continue;
  EXPECT_FALSE(protocol.reloading());
  EXPECT_FALSE(protocol.ready(4711, ""));
  drain();
  EXPECT_TRUE(protocol.reloading());
  EXPECT_TRUE(manager_.receive().text.starts_with("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_TRUE(protocol.ready(4711, ""));
  EXPECT_TRUE(manager_.receive().text.starts_with("READY=1\n"));
}

TEST_F(ServiceProtocolTest, StoredDescriptorsAreNamedAndNotPolled) {
  ServiceProtocol protocol = ServiceProtocol::from_environment();
  protocol.store_image(image_);
  const std::vector<std::pair<std::string, int>> expected{
      {"ztmpfs-meta", image_.meta.get()}, {"ztmpfs-data", image_.data.get()}, {"ztmpfs-buffers", image_.buffers.get()}};
  for (const auto& [name, fd] : expected) {
    const NotifySocket::Message message = manager_.receive();
    EXPECT_EQ(message.text, "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name);
    ASSERT_TRUE(message.fd);
    EXPECT_EQ(number_of(message.fd.get()), number_of(fd));
  }
}

TEST_F(ServiceProtocolTest, NewConnectionReplacesTheOldOne) {
  const UniqueFd fuse(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ServiceProtocol protocol = ServiceProtocol::from_environment();
  protocol.store_connection(fuse);
  EXPECT_EQ(manager_.receive().text, "FDSTOREREMOVE=1\nFDNAME=ztmpfs-fuse");
  const NotifySocket::Message message = manager_.receive();
  EXPECT_EQ(message.text, "FDSTORE=1\nFDPOLL=0\nFDNAME=ztmpfs-fuse");
  ASSERT_TRUE(message.fd);
  EXPECT_EQ(number_of(message.fd.get()), number_of(fuse.get()));
}

TEST_F(ServiceProtocolTest, ImageIsKeptOnlyByManagersWithRoom) {
  const std::vector<std::pair<const char*, bool>> answers{{"8", true},  {"4", true}, {"3", false},
                                                          {"0", false}, {"", false}, {"x", false}};
  for (const auto& [room, answer] : answers) {
    set("NOTIFY_SOCKET", path_);
    set("FDSTORE", room);
    ServiceProtocol protocol = ServiceProtocol::from_environment();
    EXPECT_FALSE(protocol.keeps_image()) << "before it was stored";
    protocol.store_image(image_);
    EXPECT_EQ(protocol.keeps_image(), answer) << room;
    protocol.remove_image();
    EXPECT_FALSE(protocol.keeps_image()) << "after it was removed";
    drain();
  }
}

TEST_F(ServiceProtocolTest, WhatIsMeantForAnotherProcessOfTheServiceIsNotForUs) {
  const std::string parent = std::to_string(::getppid());
  hand_over_image();
  set("LISTEN_PID", parent);
  set("SYSTEMD_EXEC_PID", parent);
  set("WATCHDOG_USEC", "3000000");
  set("WATCHDOG_PID", parent);
  set("FDSTORE", "8");
  ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
  EXPECT_FALSE(protocol.take_stored());
  EXPECT_FALSE(protocol.watchdog_interval());
  EXPECT_FALSE(protocol.is_main_process());
  protocol.store_image(image_);
  EXPECT_FALSE(protocol.keeps_image());
}

TEST_F(ServiceProtocolTest, StoredImageComesBackByName) {
  set("FDSTORE", "4");
  hand_over_image();
  ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
  const auto stored = protocol.take_stored();
  ASSERT_TRUE(stored);
  EXPECT_FALSE(stored->fuse);
  EXPECT_EQ(number_of(stored->image.meta.get()), number_of(image_.meta.get()));
  EXPECT_EQ(number_of(stored->image.data.get()), number_of(image_.data.get()));
  EXPECT_EQ(number_of(stored->image.buffers.get()), number_of(image_.buffers.get()));
  EXPECT_EQ(::fcntl(stored->image.meta.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(protocol.keeps_image()) << "the manager still has it";
  EXPECT_FALSE(protocol.take_stored()) << "only once";
}

TEST_F(ServiceProtocolTest, DescriptorsOfOthersAreClosed) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  hand_over({{"stdin", null.get()}, {"", null.get()}});
  ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
  EXPECT_FALSE(protocol.take_stored());
  EXPECT_FALSE(is_open(kFirst));
  EXPECT_FALSE(is_open(kFirst + 1));
}

TEST_F(ServiceProtocolTest, IncompleteImageIsRefusedAndForgotten) {
  hand_over({{"ztmpfs-data", image_.data.get()}, {"ztmpfs-meta", image_.meta.get()}});
  ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
  EXPECT_EQ(refusal(protocol), "the service manager has kept only a part of the contents of an earlier mount");
  for (const char* name : {"ztmpfs-fuse", "ztmpfs-meta", "ztmpfs-data", "ztmpfs-buffers"})
    EXPECT_EQ(manager_.receive().text, std::string("FDSTOREREMOVE=1\nFDNAME=") + name);
  EXPECT_FALSE(is_open(kFirst));
  EXPECT_FALSE(is_open(kFirst + 1));
}

TEST_F(ServiceProtocolTest, DescriptorsOfTheWrongKindAreRefused) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const char* name : {"ztmpfs-fuse", "ztmpfs-meta"}) {
    set("NOTIFY_SOCKET", path_);
    hand_over({{name, null.get()}});
    ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
    EXPECT_EQ(refusal(protocol), "what the service manager has kept as " + std::string(name) + " is something else");
    drain();
  }
}

TEST_F(ServiceProtocolTest, TwoOfAKindAreRefused) {
  hand_over({{"ztmpfs-meta", image_.meta.get()}, {"ztmpfs-meta", image_.meta.get()}});
  ServiceProtocol protocol = ServiceProtocol::from_environment(kFirst);
  EXPECT_EQ(refusal(protocol), "the service manager has kept more than one ztmpfs-meta");
}

TEST_F(ServiceProtocolTest, DescriptorsThatAreNotThereAreNamed) {
  set("LISTEN_PID", std::to_string(::getpid()));
  set("LISTEN_FDS", "1");
  set("LISTEN_FDNAMES", "ztmpfs-meta");
  EXPECT_THROW(ServiceProtocol::from_environment(kFirst), std::runtime_error);
}

}  // namespace
}  // namespace ztmpfs
