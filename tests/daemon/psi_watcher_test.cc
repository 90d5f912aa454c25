#include "daemon/psi_watcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>

#include "tests/daemon/pressure_line.h"
#include "tests/daemon/psi_watcher_rig.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPressure =
    "some avg10=12.50 avg60=0.00 avg300=0.00 total=0\nfull avg10=4.90 avg60=0.00 avg300=0.00 total=0\n";

std::string pressure_of(uint64_t some_total, uint64_t full_total) {
  return "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(some_total) +
         "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=" + std::to_string(full_total) + "\n";
}

long count_of(const std::string& text, const std::string& word) {
  const std::regex pattern(word);
  return std::distance(std::sregex_iterator(text.begin(), text.end(), pattern), std::sregex_iterator());
}

// A pressure file whose triggers the test fires, and which may refuse them.
class PsiWatcherTest : public PsiWatcherRig {
 protected:
  PsiWatcherTest() {
    on_event_ = [this](PressureLevel level) { line(level).calm(); };
  }
  PressureLine& line(PressureLevel level) { return *lines_[size_t(level)]; }
  void renew_lines() {
    for (auto& line : lines_) line = std::make_unique<PressureLine>();
  }
  Result<UniqueFd> open(std::string_view text) {
    texts_.emplace_back(text);
    if (refusal_ != std::errc{}) return fail(refusal_);
    const auto trigger = read_psi_trigger(text);
    if (!trigger || trigger->window % window_unit_ != std::chrono::seconds(0)) return fail(std::errc::invalid_argument);
    return line(trigger->level).open();
  }
  PsiOpen opening() {
    return [this](const PsiSource&, std::string_view text) { return open(text); };
  }
  void watch_lines() {
    renew_lines();
    watch({.sources = {file_source(path("pressure"))}, .warnings = {}}, opening());
  }

  std::array<std::unique_ptr<PressureLine>, 2> lines_;
  std::vector<std::string> texts_;
  std::errc refusal_{};
  std::chrono::seconds window_unit_{1};
};

TEST_F(PsiWatcherTest, EachLevelTellsOfItsOwnEvents) {
  watch_lines();
  EXPECT_THAT(texts_, ElementsAre("some 100000 1000000", "full 50000 1000000"));
  EXPECT_TRUE(are_all(PsiWatchState::kTrigger));
  for (const PressureLevel level : {PressureLevel::kFull, PressureLevel::kSome, PressureLevel::kSome}) {
    events_.clear();
    line(level).fire();
    run_until([&] { return !events_.empty(); });
    EXPECT_THAT(events_, ElementsAre(Event(level, path("pressure"))));
  }
  const std::vector<PsiWatchStats> stats = watcher_->stats();
  ASSERT_EQ(stats.size(), 2U);
  EXPECT_EQ(stats[0].level, PressureLevel::kSome);
  EXPECT_EQ(stats[0].events, 2U);
  EXPECT_EQ(stats[0].trigger, "some 100000 1000000");
  EXPECT_EQ(stats[0].path, path("pressure"));
  EXPECT_TRUE(stats[0].since_event.has_value());
  EXPECT_EQ(stats[1].events, 1U);
}

TEST_F(PsiWatcherTest, NothingIsToldWithoutAnEvent) {
  watch_lines();
  io_.poll();
  EXPECT_THAT(events_, IsEmpty());
  for (const PsiWatchStats& stats : watcher_->stats()) EXPECT_EQ(stats.since_event, std::nullopt);
}

TEST_F(PsiWatcherTest, LongerWindowsAreUsedWhereShortOnesAreRefused) {
  window_unit_ = std::chrono::seconds(2);
  watch_lines();
  EXPECT_TRUE(are_all(PsiWatchState::kTrigger));
  EXPECT_EQ(watcher_->stats()[0].trigger, "some 200000 2000000");
  EXPECT_EQ(watcher_->stats()[1].trigger, "full 100000 2000000");
  EXPECT_EQ(watcher_->stats()[0].reason, "");
}

TEST_F(PsiWatcherTest, EventWithoutStallsSinceTheOpeningIsFalse) {
  directory_.write("pressure", pressure_of(5'000'000, 4'000'000));
  window_unit_ = std::chrono::seconds(2);
  watch_lines();
  directory_.write("pressure", pressure_of(5'099'000, 4'000'000));  // less than half of 200 ms
  line(PressureLevel::kSome).fire();
  run_until([&] { return watcher_->stats()[0].false_events > 0; });
  line(PressureLevel::kSome).calm();
  EXPECT_THAT(events_, IsEmpty());
  directory_.write("pressure", pressure_of(5'200'000, 4'000'000));
  for (size_t events = 1; events <= 2; ++events) {  // once one was true, the kernel is trusted
    line(PressureLevel::kSome).fire();
    run_until([&] { return !events_.empty(); });
    EXPECT_THAT(events_, ElementsAre(Event(PressureLevel::kSome, path("pressure"))));
    events_.clear();
  }
}

TEST_F(PsiWatcherTest, AverageIsReadWhereTriggersAreRefused) {
  directory_.write("pressure", kPressure);
  for (const std::errc refusal :
       {std::errc::permission_denied, std::errc::operation_not_permitted, std::errc::operation_not_supported,
        std::errc::device_or_resource_busy, std::errc::read_only_file_system, std::errc::invalid_argument}) {
    refusal_ = refusal;
    on_event_ = nullptr;
    events_.clear();
    testing::internal::CaptureStderr();
    watch_lines();
    EXPECT_EQ(count_of(testing::internal::GetCapturedStderr(), "no pressure triggers"), 1);
    EXPECT_TRUE(are_all(PsiWatchState::kPolling));
    EXPECT_EQ(watcher_->stats()[0].reason, std::make_error_code(refusal).message());
    run_until([&] { return events_.size() >= 3; });
    EXPECT_THAT(events_, testing::Each(Event(PressureLevel::kSome, path("pressure"))));  // 4.9 % is not 5 %
  }
}

TEST_F(PsiWatcherTest, PolledFileThatGoesAwayIsLostAndComesBack) {
  directory_.write("pressure", kPressure);
  refusal_ = std::errc::permission_denied;
  on_event_ = nullptr;
  watch_lines();
  directory_.write("pressure", "");
  run_until([&] { return are_all(PsiWatchState::kLost); });
  directory_.write("pressure", kPressure);
  run_until([&] { return are_all(PsiWatchState::kPolling); });
}

TEST_F(PsiWatcherTest, DeadTriggerIsOpenedAgainWithOneLineEachWay) {
  watch_lines();
  testing::internal::CaptureStderr();
  refusal_ = std::errc::no_such_file_or_directory;
  for (const auto& line : lines_) line->die();
  run_until([&] { return are_all(PsiWatchState::kLost) && texts_.size() > 8; });
  EXPECT_THAT(events_, IsEmpty());
  renew_lines();
  refusal_ = {};
  run_until([&] { return are_all(PsiWatchState::kTrigger); });
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(said, "lost the pressure information of "), 1) << said;
  EXPECT_EQ(count_of(said, "is back"), 1) << said;
  line(PressureLevel::kFull).fire();
  run_until([&] { return !events_.empty(); });
  EXPECT_THAT(events_, ElementsAre(Event(PressureLevel::kFull, path("pressure"))));
}

TEST_F(PsiWatcherTest, KernelWithoutPressureIsOneWarningAndNoWork) {
  refusal_ = std::errc::no_such_file_or_directory;
  PsiSource system = file_source(path("missing"));
  system.may_come_back = false;
  testing::internal::CaptureStderr();
  watch({.sources = {system}, .warnings = {}}, opening());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(said, "no pressure information"), 1) << said;
  EXPECT_THAT(said, HasSubstr("(" + path("missing") + ": No such file or directory); reclaim runs "));
  EXPECT_TRUE(are_all(PsiWatchState::kUnavailable));
  EXPECT_EQ(io_.run(), 0U);  // returns: nothing is waited for, no timer runs
}

TEST_F(PsiWatcherTest, SourceThatIsNotThereYetIsTriedAgain) {
  refusal_ = std::errc::no_such_file_or_directory;
  watch_lines();
  EXPECT_TRUE(are_all(PsiWatchState::kLost));
  refusal_ = {};
  run_until([&] { return are_all(PsiWatchState::kTrigger); });
}

TEST_F(PsiWatcherTest, WarningsOfTheSearchAreLogged) {
  testing::internal::CaptureStderr();
  watch({.sources = {}, .warnings = {"$MEMORY_PRESSURE_WATCH is strange"}});
  EXPECT_EQ(count_of(testing::internal::GetCapturedStderr(), "is strange"), 1);
  EXPECT_THAT(watcher_->stats(), IsEmpty());
  EXPECT_EQ(io_.run(), 0U);
}

TEST_F(PsiWatcherTest, WatcherThatIsGoneTellsNothing) {
  watch_lines();
  line(PressureLevel::kSome).fire();
  watcher_.reset();
  io_.run();
  EXPECT_THAT(events_, IsEmpty());
}

TEST_F(PsiWatcherTest, OrdinaryFileIsNeverWrittenInto) {
  on_event_ = nullptr;
  directory_.write("pressure", kPressure);
  watch({.sources = {file_source(path("pressure"))}, .warnings = {}});
  EXPECT_TRUE(are_all(PsiWatchState::kPolling));
  run_until([&] { return !events_.empty(); });
  std::ifstream file(path("pressure"));
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), kPressure);
}

class PsiStreamTest : public PsiWatcherRig {
 protected:
  void write_to_fifo(const std::string& text) const {
    const UniqueFd fifo(::open(path("fifo").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_EQ(::write(fifo.get(), text.data(), text.size()), ssize_t(text.size()));
  }
  void listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path("socket").data(), path("socket").size());
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ASSERT_EQ(::listen(listener_.get(), 8), 0);
  }
  UniqueFd accept() const { return UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

  UniqueFd listener_;
};

TEST_F(PsiStreamTest, EachWriteToAFifoIsAnEvent) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  watch({.sources = {stream_source("fifo", PsiSourceKind::kFifo)}, .warnings = {}});
  ASSERT_TRUE(are_all(PsiWatchState::kTrigger));
  for (size_t writes = 1; writes <= 3; ++writes) {  // each writer comes and goes
    write_to_fifo(std::string(1000, 'x'));
    run_until([&] { return events_.size() == writes; });
  }
  io_.restart();
  io_.poll();
  EXPECT_THAT(events_, testing::Each(Event(PressureLevel::kSome, path("fifo"))));
  EXPECT_EQ(events_.size(), 3U);
  EXPECT_TRUE(are_all(PsiWatchState::kTrigger));
}

TEST_F(PsiStreamTest, GreetingInAFifoIsNoEvent) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  watch({.sources = {stream_source("fifo", PsiSourceKind::kFifo, "hello")}, .warnings = {}});
  io_.run_one();  // the greeting is there to be read
  EXPECT_THAT(events_, IsEmpty());
  write_to_fifo("hello");
  run_until([&] { return !events_.empty(); });
  EXPECT_EQ(events_.size(), 1U);
}

TEST_F(PsiStreamTest, FifoThatIsRemovedIsLostAndTheNextOneIsHeard) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  watch({.sources = {stream_source("fifo", PsiSourceKind::kFifo, "hello")}, .warnings = {}});
  ASSERT_TRUE(are_all(PsiWatchState::kTrigger));
  ASSERT_EQ(::unlink(path("fifo").c_str()), 0);
  run_until([&] { return are_all(PsiWatchState::kLost); });
  std::ofstream(path("fifo")) << "precious";  // no FIFO any more: nothing may be written into it
  for (int turns = 0; turns < 20; ++turns) {
    io_.restart();
    io_.run_one_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(are_all(PsiWatchState::kLost));
  std::string contents;
  std::getline(std::ifstream(path("fifo")), contents);
  EXPECT_EQ(contents, "precious");
  ASSERT_EQ(::unlink(path("fifo").c_str()), 0);
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  run_until([&] { return are_all(PsiWatchState::kTrigger); });
  events_.clear();
  write_to_fifo("pressure");
  run_until([&] { return !events_.empty(); });
  EXPECT_THAT(events_, testing::Each(Event(PressureLevel::kSome, path("fifo"))));
}

TEST_F(PsiStreamTest, SocketIsGreetedAndEachMessageIsAnEvent) {
  listen();
  watch({.sources = {stream_source("socket", PsiSourceKind::kSocket, "hello")}, .warnings = {}});
  ASSERT_TRUE(are_all(PsiWatchState::kTrigger));
  const UniqueFd peer = accept();
  std::array<char, 16> greeting{};
  EXPECT_EQ(::recv(peer.get(), greeting.data(), greeting.size(), 0), 5);
  EXPECT_STREQ(greeting.data(), "hello");
  for (size_t messages = 1; messages <= 2; ++messages) {
    ASSERT_EQ(::send(peer.get(), "pressure", 8, MSG_NOSIGNAL), 8);
    run_until([&] { return events_.size() == messages; });
  }
  EXPECT_THAT(events_, testing::Each(Event(PressureLevel::kSome, path("socket"))));
}

TEST_F(PsiStreamTest, SocketThatHangsUpIsConnectedToAgain) {
  listen();
  watch({.sources = {stream_source("socket", PsiSourceKind::kSocket)}, .warnings = {}});
  testing::internal::CaptureStderr();
  UniqueFd peer = accept();
  std::filesystem::remove(path("socket"));
  listener_.reset();
  ASSERT_EQ(::send(peer.get(), "last", 4, MSG_NOSIGNAL), 4);
  peer.reset();
  run_until([&] { return are_all(PsiWatchState::kLost); });
  EXPECT_EQ(events_.size(), 1U);
  listen();
  run_until([&] { return are_all(PsiWatchState::kTrigger); });
  peer = accept();
  ASSERT_EQ(::send(peer.get(), "again", 5, MSG_NOSIGNAL), 5);
  run_until([&] { return events_.size() == 2; });
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(count_of(said, "lost the pressure information of "), 1) << said;
  EXPECT_EQ(count_of(said, "is back"), 1) << said;
}

}  // namespace
}  // namespace ztmpfs
