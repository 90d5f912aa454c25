#include "daemon/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "daemon/exec_program.h"

namespace ztmpfs {

namespace {

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return {};
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace

ServerProcess::ServerProcess(ServerDescriptors descriptors, std::vector<std::string> arguments)
    : descriptors_(std::move(descriptors)) {
  // Keeps the number free; each server finds its end of a fresh pipe there.
  descriptors_.ready.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
  Pipe orders = make_pipe();
  if (!descriptors_.ready || !orders.reader)
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  descriptors_.orders = std::move(orders.reader);
  orders_ = std::move(orders.writer);
  // A server that hangs must not make its holder wait.
  ::fcntl(orders_.get(), F_SETFL, O_NONBLOCK);
  arguments_ = {"ztmpfs", format_server_argument(descriptors_)};
  for (std::string& argument : arguments) arguments_.push_back(std::move(argument));
  for (std::string& argument : arguments_) argument_pointers_.push_back(argument.data());
  argument_pointers_.push_back(nullptr);
}

bool ServerProcess::start() {
  Pipe report = make_pipe();
  if (!report.reader) return false;
  drop_orders();
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) become_server(report.writer.get());
  report_ = std::move(report.reader);
  ::fcntl(report_.get(), F_SETFL, O_NONBLOCK);
  pid_ = child;
  has_attached_ = is_ready_ = false;
  sentence_length_ = news_length_ = 0;
  return true;
}

// What one that is gone has not read is not meant for the next one.
void ServerProcess::drop_orders() const {
  std::array<char, 64> unread;
  pollfd state{.fd = descriptors_.orders.get(), .events = POLLIN, .revents = 0};
  while (::poll(&state, 1, 0) > 0 && ::read(descriptors_.orders.get(), unread.data(), unread.size()) > 0) {
  }
}

void ServerProcess::become_server(int report) {
  ::dup2(report, descriptors_.ready.get());
  std::array<int, 9> inherited;  // and the witness
  std::ranges::transform(descriptors_.all(), inherited.begin(), [](const UniqueFd* fd) { return fd->get(); });
  inherited.back() = witness_;
  exec_program(program_, argument_pointers_.data(), inherited);
  constexpr std::string_view kSentence = "cannot start the server from the program's file";
  [[maybe_unused]] const ssize_t written = ::write(report, kSentence.data(), kSentence.size());
  ::_exit(EXIT_FAILURE);
}

std::optional<int> ServerProcess::reap() {
  int status = 0;
  if (pid_ == 0) return std::nullopt;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended < 0 && errno == ECHILD) status = W_EXITCODE(EXIT_FAILURE, 0);  // somebody else has reaped it
  if (ended != pid_ && !(ended < 0 && errno == ECHILD)) return std::nullopt;
  pid_ = 0;
  while (report_) read_report();  // what it has said before it ended
  return status;
}

void ServerProcess::give_order(ServerOrder order) const {
  [[maybe_unused]] const ssize_t written = ::write(orders_.get(), &order, 1);
}

void ServerProcess::kill() const {
  if (pid_ != 0) ::kill(pid_, SIGKILL);
}

void ServerProcess::read_report() {
  std::array<char, 256> text{};
  const ssize_t count = ::read(report_.get(), text.data(), text.size());
  if (count < 0 && errno == EINTR) return;
  // Nothing to read although it has ended: another process holds the other end.
  if (count <= 0 && (count == 0 || errno != EAGAIN || pid_ == 0)) return report_.reset();
  for (ssize_t i = 0; i < count; ++i) take_byte(text[size_t(i)]);
}

void ServerProcess::take_byte(char byte) {
  const bool begins_news = byte >= char(ServerNews::kStatus) && byte <= char(ServerNews::kReloadRefused);
  if (!has_attached_ && sentence_length_ == 0 && byte == kAttached) {
    has_attached_ = true;
  } else if (has_attached_ && !is_ready_ && sentence_length_ == 0 && byte == kReady) {
    is_ready_ = true;
  } else if (news_length_ != 0 && byte == kNewsEnd) {
    const size_t length = std::exchange(news_length_, 0);
    if (on_news_) on_news_(ServerNews(news_[0]), {news_.data() + 1, length - 1});
  } else if (news_length_ != 0 || (is_ready_ && begins_news)) {
    if (news_length_ < news_.size()) news_[news_length_++] = byte;
  } else if (sentence_length_ < sentence_.size()) {
    sentence_[sentence_length_++] = byte;
  }
}

}  // namespace ztmpfs
