#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>
#include <string>

#include "base/journal_client.h"
#include "base/log.h"
#include "base/unix_address.h"

// The thread sanitizer brings operators of its own.
#if defined(__SANITIZE_THREAD__)
#define ZTMPFS_COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ZTMPFS_COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef ZTMPFS_COUNTS_ALLOCATIONS
#define ZTMPFS_COUNTS_ALLOCATIONS 1
#endif

namespace {
std::atomic<uint64_t> allocations = 0;
}  // namespace

#if ZTMPFS_COUNTS_ALLOCATIONS
// What new has taken from malloc(3), delete gives to free(3).
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

void* operator new(size_t size) {
  ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace ztmpfs {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

using Fields = std::map<std::string, std::string>;

// journald's end of its socket.
class FakeJournal {
 public:
  explicit FakeJournal(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = unix_address(path);
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }

  // The next record, as it came; empty: there is none.
  std::string receive_raw() {
    std::array<char, 65536> bytes{};
    const ssize_t length = ::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    return length < 0 ? "" : std::string(bytes.data(), size_t(length));
  }

  // The same taken apart, as journald does.
  Fields receive() {
    const std::string bytes = receive_raw();
    Fields fields;
    for (size_t at = 0; at < bytes.size();) {
      const size_t end = bytes.find_first_of("=\n", at);
      const std::string name = bytes.substr(at, end - at);
      uint64_t length = bytes.find('\n', end) - end - 1;
      at = end + 1;
      if (bytes[end] == '\n') {
        std::memcpy(&length, bytes.data() + at, sizeof(length));
        at += sizeof(length);
      }
      fields[name] = bytes.substr(at, length);
      at += length;
      if (bytes[at] != '\n') ADD_FAILURE() << name << " has no end";
      ++at;
    }
    return fields;
  }

 private:
  UniqueFd socket_;
};

class Journal : public testing::Test {
 protected:
  Journal() {
    std::string path = "/tmp/ztmpfs-journal-XXXXXX";
    directory_ = ::mkdtemp(path.data());
    socket_path_ = directory_ + "/socket";
    journal_.emplace(socket_path_);
    testing::internal::CaptureStderr();
    is_captured_ = true;
  }
  ~Journal() override {
    stderr_text();
    ::unsetenv("JOURNAL_STREAM");
    log_open(false, "none");
    std::filesystem::remove_all(directory_);
  }

  // Stderr leads to the journal, as far as the log can tell.
  void open_as_service() {
    struct stat status{};
    ::fstat(STDERR_FILENO, &status);
    open_with(std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino));
  }
  void open_with(const std::string& stream) {
    ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
    log_open(/*to_syslog=*/false, "build", socket_path_);
  }
  std::string stderr_text() {
    if (!std::exchange(is_captured_, false)) return "";
    return testing::internal::GetCapturedStderr();
  }

  std::string directory_;
  std::string socket_path_;
  std::optional<FakeJournal> journal_;
  bool is_captured_ = false;
};

TEST_F(Journal, RecordsHaveTheirFields) {
  open_as_service();
  log(LogLevel::kWarning, "the server was killed");
  EXPECT_EQ(journal_->receive(), (Fields{{"MESSAGE", "build: the server was killed"},
                                         {"PRIORITY", "4"},
                                         {"SYSLOG_IDENTIFIER", "ztmpfs"},
                                         {"ZTMPFS_NAME", "build"}}));
  EXPECT_EQ(stderr_text(), "");
}

TEST_F(Journal, LimitedLinesTellTheirEvent) {
  open_as_service();
  log_limited(LogLevel::kError, "journal_test event", "it has happened");
  EXPECT_EQ(journal_->receive()["ZTMPFS_EVENT"], "journal_test event");
}

TEST_F(Journal, LevelsArePriorities) {
  open_as_service();
  log(LogLevel::kDebug, "left out");
  log(LogLevel::kInfo, "");
  log(LogLevel::kError, "");
  EXPECT_EQ(journal_->receive()["PRIORITY"], "6");
  EXPECT_EQ(journal_->receive()["PRIORITY"], "3");
  EXPECT_EQ(journal_->receive(), Fields());
}

TEST_F(Journal, ValuesOfSeveralLinesStayOneField) {
  const JournalClient client(socket_path_);
  EXPECT_TRUE(client.send({.priority = 3, .name = "a\nPRIORITY=0", .event = "b\n", .text = "one\ntwo=2\n\n"}));
  EXPECT_EQ(journal_->receive(), (Fields{{"MESSAGE", "a\nPRIORITY=0: one\ntwo=2\n\n"},
                                         {"PRIORITY", "3"},
                                         {"SYSLOG_IDENTIFIER", "ztmpfs"},
                                         {"ZTMPFS_NAME", "a\nPRIORITY=0"},
                                         {"ZTMPFS_EVENT", "b\n"}}));
}

TEST_F(Journal, BytesAreThoseOfTheProtocol) {
  const JournalClient client(socket_path_);
  EXPECT_TRUE(client.send({.priority = 6, .name = "a", .event = "", .text = "b\nc"}));
  const std::string length("\6\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(journal_->receive_raw(),
            "MESSAGE\n" + length + "a: b\nc\nPRIORITY=6\nSYSLOG_IDENTIFIER=ztmpfs\nZTMPFS_NAME=a\n");
}

TEST_F(Journal, IsNotUsedWhereStderrLeadsElsewhere) {
  for (const char* stream : {"", "1", "1:", ":1", "1:2", "a:b", "1:2:3", "-1:-1"}) {
    open_with(stream);
    log(LogLevel::kInfo, stream);
  }
  ::unsetenv("JOURNAL_STREAM");
  log_open(/*to_syslog=*/false, "build", socket_path_);
  log(LogLevel::kInfo, "last");
  EXPECT_EQ(journal_->receive(), Fields());
  EXPECT_THAT(stderr_text(), AllOf(HasSubstr("ztmpfs build: info: 1:2:3\n"), HasSubstr("ztmpfs build: info: last\n")));
}

TEST_F(Journal, LinesThatNobodyTakesGoToStderr) {
  open_as_service();
  journal_.reset();
  log(LogLevel::kError, "nobody listens");
  std::filesystem::remove(socket_path_);
  log(LogLevel::kError, "nobody is there");
  journal_.emplace(socket_path_);
  log(LogLevel::kError, "somebody is back");
  EXPECT_EQ(journal_->receive()["MESSAGE"], "build: somebody is back");
  EXPECT_EQ(stderr_text(), "ztmpfs build: error: nobody listens\nztmpfs build: error: nobody is there\n");
}

TEST_F(Journal, LinesThatAreTooLongGoToStderr) {
  open_as_service();
  const std::string text(1 << 20, 'x');
  log(LogLevel::kInfo, text);
  EXPECT_EQ(journal_->receive(), Fields());
  EXPECT_EQ(stderr_text(), "ztmpfs build: info: " + text + "\n");
}

TEST_F(Journal, OtherLinesOnStderrHaveAPriorityToo) {
  open_as_service();
  EXPECT_EQ(journal_prefix(3), "<3>");
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_EQ(journal_prefix(3), "");
}

// Else a daemon would wait for a journal that waits for it.
TEST_F(Journal, ThatDoesNotReadIsNotWaitedFor) {
  open_as_service();
  constexpr int kLines = 5000;  // more than any queue of datagrams takes (net.unix.max_dgram_qlen)
  for (int i = 0; i < kLines; ++i) log(LogLevel::kInfo, "line " + std::to_string(i));
  EXPECT_THAT(stderr_text(), AllOf(HasSubstr("ztmpfs build: info: line 4999\n"), Not(HasSubstr(": line 0\n"))));
  EXPECT_EQ(journal_->receive()["MESSAGE"], "build: line 0");
}

// The holder must be able to tell how a server ended when there is no memory.
TEST_F(Journal, TakesNoMemory) {
  if (ZTMPFS_COUNTS_ALLOCATIONS == 0) GTEST_SKIP() << "allocations cannot be counted beside the thread sanitizer";
  open_as_service();
  const uint64_t before = allocations;
  log(LogLevel::kWarning, "the server was killed: another one goes on, and so on, longer than any small string is");
  EXPECT_EQ(allocations - before, 0U);
  EXPECT_EQ(journal_->receive()["PRIORITY"], "4");
}

}  // namespace
}  // namespace ztmpfs
