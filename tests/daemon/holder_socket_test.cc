#include "daemon/holder_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

constexpr std::chrono::seconds kPatience{20};

class HolderSocketTest : public testing::Test {
 protected:
  std::string path() const { return directory_.path() + "/x.holder"; }
  // As a holder's loop does it.
  HolderSocket::Request next_request() {
    while (true) {
      auto sources = socket_->sources();
      ::poll(sources.data(), sources.size(), -1);
      if (const auto request = socket_->next(sources)) return *request;
    }
  }
  // Without waiting for a request.
  void take_events() {
    auto sources = socket_->sources();
    while (::poll(sources.data(), sources.size(), 0) > 0) {
      socket_->next(sources);
      sources = socket_->sources();
    }
  }

  TemporaryDirectory directory_;
  std::optional<HolderSocket> socket_{std::in_place, path()};
};

TEST_F(HolderSocketTest, RequestIsAnswered) {
  const HolderClient client(path());
  ASSERT_TRUE(client.is_connected());
  std::optional<HolderAnswer> answer;
  std::jthread asking([&] { answer = client.ask(HolderRequest::kStatus, kPatience); });
  const auto request = next_request();
  EXPECT_EQ(request.what, HolderRequest::kStatus);
  socket_->answer(request.client, HolderVerdict::kDone, "all is well");
  asking.join();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->verdict, HolderVerdict::kDone);
  EXPECT_EQ(answer->text, "all is well");
}

TEST_F(HolderSocketTest, DescriptorsComeWithTheAnswerAndTheClientMaySayMore) {
  const UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const HolderClient client(path());
  std::optional<HolderAnswer> answer;
  std::jthread asking([&] { answer = client.ask(HolderRequest::kTake, kPatience); });
  const auto request = next_request();
  const std::array descriptors{file.get(), file.get()};
  socket_->answer(request.client, HolderVerdict::kDone, "", descriptors, true);
  asking.join();
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->descriptors.size(), 2U);
  struct stat sent{};
  struct stat came{};
  ::fstat(file.get(), &sent);
  EXPECT_EQ(::fstat(answer->descriptors[1].get(), &came), 0);
  EXPECT_EQ(came.st_rdev, sent.st_rdev);
  client.tell(HolderRequest::kTaken);
  const auto next = next_request();
  EXPECT_EQ(next.what, HolderRequest::kTaken);
  EXPECT_EQ(next.client, request.client);
}

TEST_F(HolderSocketTest, ClientThatHasGoneIsNeverTakenForTheNextOne) {
  std::optional<HolderClient> first(std::in_place, path());
  first->tell(HolderRequest::kTake);
  const auto request = next_request();
  first.reset();
  take_events();
  EXPECT_FALSE(socket_->has(request.client));
  const HolderClient second(path());
  second.tell(HolderRequest::kTake);
  EXPECT_NE(next_request().client, request.client);
  EXPECT_FALSE(socket_->has(request.client));
  socket_->answer(request.client, HolderVerdict::kDone, "to nobody");
}

TEST_F(HolderSocketTest, TooManyClientsAreTurnedAwayAndLaterOnesAreServed) {
  std::vector<HolderClient> clients;
  for (size_t i = 0; i < HolderSocket::kClientsMax + 5; ++i) clients.emplace_back(path());
  take_events();
  clients.clear();
  take_events();
  const HolderClient client(path());
  client.tell(HolderRequest::kForget);
  EXPECT_EQ(next_request().what, HolderRequest::kForget);
}

TEST_F(HolderSocketTest, HolderThatEndsWithoutAnAnswerIsNoAnswer) {
  const HolderClient client(path());
  std::optional<HolderAnswer> answer = HolderAnswer{};
  std::jthread asking([&] { answer = client.ask(HolderRequest::kStatus, kPatience); });
  next_request();
  socket_.reset();
  asking.join();
  EXPECT_FALSE(answer);
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_FALSE(HolderClient(path()).is_connected());
}

TEST_F(HolderSocketTest, SocketThatWasHandedOverStays) {
  socket_->release_path();
  socket_.reset();
  EXPECT_TRUE(std::filesystem::exists(path()));
}

}  // namespace
}  // namespace ztmpfs
