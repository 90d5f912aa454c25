#include "daemon/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <cstring>
#include <latch>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/unique_fd.h"
#include "daemon/unix_listener.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A client that speaks bytes, not HTTP: it must be able to say wrong things.
class RawClient {
 public:
  explicit RawClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    is_connected_ = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    const timeval patience{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  bool is_connected() const { return is_connected_; }
  void send(const std::string& text) { ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  // Reads until `end` has come, or the server has hung up.
  std::string receive_until(const std::string& end) {
    std::string text;
    std::array<char, 4096> chunk{};
    while (text.find(end) == std::string::npos) {
      const ssize_t count = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      text.append(chunk.data(), size_t(count));
    }
    return text;
  }
  std::string ask(const std::string& text, const std::string& end) {
    send(text);
    return receive_until(end);
  }

 private:
  UniqueFd socket_;
  bool is_connected_ = false;
};

class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest() : server_(std::in_place, io_, listen_on(path(), SOCK_STREAM), routes()) {
    thread_ = std::jthread([this] { io_.run(); });
  }
  ~ControlServerTest() override {
    io_.stop();
    thread_.join();
  }
  std::string path() const { return directory_.path() + "/control.sock"; }
  std::vector<ControlRoute> routes() {
    return {{.method = "GET",
             .path = "/v1/stats",
             .answer = [](const std::string&) { return ControlReply{200, "application/json", "{\"files\":3}\n"}; }},
            {.method = "POST",
             .path = "/v1/echo",
             .answer = [](const std::string& body) { return ControlReply{200, "text/plain", body}; }},
            {.method = "GET",
             .path = "/v1/broken",
             .answer = [](const std::string&) -> ControlReply { throw std::runtime_error("no such luck"); }},
            {.method = "GET",
             .path = "/v1/picky",
             .answer = [](const std::string&) -> ControlReply { throw std::invalid_argument("not like this"); }},
            {.method = "GET",
             .path = "/v1/busy",
             .answer = [](const std::string&) -> ControlReply { throw Refusal("not now"); }},
            {.method = "POST",
             .path = "/v1/check",
             .answer =
                 [this](const std::string&) {
                   EXPECT_EQ(++running_, 1) << "two slow requests at once";
                   slow_may_end_.wait();
                   --running_;
                   return ControlReply{200, "application/json", "{\"ok\":true}\n"};
                 },
             .is_slow = true}};
  }

  TemporaryDirectory directory_;
  std::latch slow_may_end_{1};
  std::atomic<int> running_ = 0;
  boost::asio::io_context io_{1};
  std::optional<ControlServer> server_;
  std::jthread thread_;
};

TEST_F(ControlServerTest, SocketIsForItsUserOnly) {
  struct stat status{};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(ControlServerTest, RequestIsAnsweredWithJson) {
  const std::string answer = RawClient(path()).ask("GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n", "}\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("{\"files\":3}\n"));
}

TEST_F(ControlServerTest, ConnectionIsKept) {
  RawClient client(path());
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(client.ask("GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"), HasSubstr("200 OK"));
}

TEST_F(ControlServerTest, ConnectionIsClosedOnRequest) {
  const std::string answer =
      RawClient(path()).ask("GET /v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "never comes");
  EXPECT_THAT(answer, HasSubstr("{\"files\":3}\n"));
}

TEST_F(ControlServerTest, BodyReachesTheRoute) {
  EXPECT_THAT(RawClient(path()).ask("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello"),
              HasSubstr("\r\n\r\nhello"));
}

TEST_F(ControlServerTest, UnknownPathIs404) {
  const std::string answer = RawClient(path()).ask("GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", "}\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(answer, HasSubstr("{\"error\":\"there is no /v2 here\"}"));
}

TEST_F(ControlServerTest, WrongMethodIs405) {
  EXPECT_THAT(RawClient(path()).ask("POST /v1/stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "}\n"),
              StartsWith("HTTP/1.1 405"));
}

TEST_F(ControlServerTest, BadRequestIs400AndHangsUp) {
  const std::string answer = RawClient(path()).ask("\x01\x02 nonsense\r\n\r\n", "never comes");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(answer, HasSubstr("{\"error\":\"bad request"));
}

TEST_F(ControlServerTest, EndlessHeaderIs431) {
  const std::string request = "GET /v1/stats HTTP/1.1\r\nX: " + std::string(2 * ControlServer::kHeaderMax, 'x');
  EXPECT_THAT(RawClient(path()).ask(request, "never comes"), StartsWith("HTTP/1.1 431"));
}

TEST_F(ControlServerTest, LargeBodyIs413) {
  EXPECT_THAT(RawClient(path()).ask("POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx", "never"),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(ControlServerTest, FailingRouteIsAnErrorAnswer) {
  EXPECT_THAT(RawClient(path()).ask("GET /v1/broken HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"),
              testing::AllOf(StartsWith("HTTP/1.1 500"), HasSubstr("{\"error\":\"no such luck\"}")));
  EXPECT_THAT(RawClient(path()).ask("GET /v1/picky HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"),
              testing::AllOf(StartsWith("HTTP/1.1 400"), HasSubstr("{\"error\":\"not like this\"}")));
  EXPECT_THAT(RawClient(path()).ask("GET /v1/busy HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"),
              testing::AllOf(StartsWith("HTTP/1.1 409"), HasSubstr("{\"error\":\"not now\"}")));
}

TEST_F(ControlServerTest, SlowRequestsWaitForEachOtherAndHoldUpNobody) {
  RawClient first(path());
  RawClient second(path());
  first.send("POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  second.send("POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  EXPECT_THAT(RawClient(path()).ask("GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"), HasSubstr("200 OK"));
  slow_may_end_.count_down();
  EXPECT_THAT(first.receive_until("}\n"), HasSubstr("{\"ok\":true}"));
  EXPECT_THAT(second.receive_until("}\n"), HasSubstr("{\"ok\":true}"));
}

TEST_F(ControlServerTest, TooManyClientsAreToldSoAndLaterOnesAreServed) {
  {
    std::vector<RawClient> clients;
    for (size_t count = 0; count < ControlServer::kConnectionsMax; ++count) {
      clients.emplace_back(path());
      EXPECT_THAT(clients.back().ask("GET /v1/stats HTTP/1.1\r\n\r\n", "}\n"), StartsWith("HTTP/1.1 200"));
    }
    RawClient late(path());
    EXPECT_THAT(late.receive_until("}\n"), StartsWith("HTTP/1.1 503"));
  }
  std::string answer;
  while (!answer.starts_with("HTTP/1.1 200")) {  // the server learns of each client's end in its own time
    RawClient client(path());
    answer = client.ask("GET /v1/stats HTTP/1.1\r\n\r\n", "}\n");
  }
}

TEST_F(ControlServerTest, ClientThatLeavesInTheMiddleHarmsNobody) {
  {
    RawClient(path()).send("GET /v1/st");
  }
  {
    RawClient(path()).send("POST /v1/check HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  }
  slow_may_end_.count_down();
  EXPECT_THAT(RawClient(path()).ask("GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n", "}\n"), HasSubstr("200 OK"));
}

}  // namespace
}  // namespace ztmpfs
