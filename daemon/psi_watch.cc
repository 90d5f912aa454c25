#include "daemon/psi_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace ztmpfs {

namespace {

using Error = boost::system::error_code;
using Descriptor = boost::asio::posix::stream_descriptor;

constexpr const char* kGone = "the file is gone";

// Whether `path` still names the open file.
bool is_named(int fd, const std::string& path) {
  struct stat open_file{};
  struct stat named_file{};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named_file) == 0 &&
         open_file.st_dev == named_file.st_dev && open_file.st_ino == named_file.st_ino;
}

}  // namespace

std::string_view to_string(PsiWatchState state) {
  switch (state) {
    case PsiWatchState::kTrigger: return "trigger";
    case PsiWatchState::kPolling: return "polling";
    case PsiWatchState::kLost: return "lost";
    case PsiWatchState::kUnavailable: return "unavailable";
  }
  return "unavailable";
}

PsiWatch::PsiWatch(boost::asio::io_context& io, PsiSource source, const PsiTrigger& trigger, PsiOpen open,
                   PsiIntervals intervals, Listener listener)
    : source_(std::move(source)),
      wanted_(trigger),
      open_source_(std::move(open)),
      intervals_(intervals),
      listener_(std::move(listener)),
      descriptor_(io),
      timer_(io),
      in_use_(trigger),
      retry_delay_(intervals.retry_first) {}

void PsiWatch::start() {
  if (open()) return;
  state_ = source_.may_come_back ? PsiWatchState::kLost : PsiWatchState::kUnavailable;
  if (source_.may_come_back) retry_later();
}

void PsiWatch::close() {
  is_closed_ = true;
  Error ignored;
  descriptor_.close(ignored);
  timer_.cancel();
  polled_.reset();
}

PsiWatchStats PsiWatch::stats() const {
  PsiWatchStats stats{.path = source_.path,
                      .level = wanted_.level,
                      .state = state_,
                      .trigger = is_file() ? in_use_.text() : "",
                      .reason = reason_,
                      .events = events_,
                      .false_events = false_events_,
                      .since_event = {}};
  if (last_event_) {
    const auto age = std::chrono::steady_clock::now() - *last_event_;
    stats.since_event = std::chrono::duration_cast<std::chrono::milliseconds>(age);
  }
  return stats;
}

bool PsiWatch::open() {
  const std::error_code error = open_waiting();
  if (!error) {
    reason_.clear();
    state_ = PsiWatchState::kTrigger;
    opened_ = std::chrono::steady_clock::now();
    wait();
    if (source_.kind == PsiSourceKind::kFifo) check_later();
    return true;
  }
  reason_ = error.message();
  if (!is_file() || !open_polling()) return false;
  state_ = PsiWatchState::kPolling;
  opened_ = std::chrono::steady_clock::now();
  poll_later();
  return true;
}

std::error_code PsiWatch::open_waiting() {
  in_use_ = wanted_;
  auto fd = open_source_(source_, is_file() ? in_use_.text() : source_.greeting);
  const PsiTrigger longer = wanted_.for_everybody();
  if (!fd && fd.error() == std::errc::invalid_argument && is_file() && longer != wanted_) {
    in_use_ = longer;
    fd = open_source_(source_, in_use_.text());
  }
  if (!fd) return std::make_error_code(fd.error());
  if (source_.kind == PsiSourceKind::kFifo) echo_ = source_.greeting;
  first_total_.reset();
  if (is_file() && in_use_ == in_use_.for_everybody())
    if (const auto reading = read_pressure(source_.path, wanted_.level)) first_total_ = reading->total;
  Error error;
  descriptor_.assign(fd->get(), error);
  if (error) return error;
  std::ignore = fd->release();
  return {};
}

bool PsiWatch::open_polling() {
  in_use_ = wanted_;
  polled_.reset(::open(source_.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!polled_) return false;
  if (read_pressure(polled_.get(), wanted_.level)) return true;
  polled_.reset();
  return false;
}

void PsiWatch::wait() {
  const auto what = is_file() ? Descriptor::wait_error : Descriptor::wait_read;
  descriptor_.async_wait(what, [self = shared_from_this()](const Error& error) {
    if (self->is_closed_ || error == boost::asio::error::operation_aborted) return;
    if (error) return self->lose(error.message());
    self->on_ready();
  });
}

void PsiWatch::on_ready() {
  bool is_event = true;
  if (is_file()) {
    // That the descriptor was ready is the event: the kernel has told epoll and does not tell it again. What stays is
    // the error of a trigger whose file was removed.
    pollfd entry{.fd = descriptor_.native_handle(), .events = POLLPRI, .revents = 0};
    ::poll(&entry, 1, 0);
    if ((entry.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return lose(kGone);
    is_event = !is_false_event();
  } else if (!drain(is_event)) {
    if (is_event) note_event();
    return lose("the other end has hung up");
  }
  wait();  // before the listener is told: an event in between would go unnoticed
  if (is_event) note_event();
}

bool PsiWatch::is_false_event() {
  if (!first_total_) return false;
  const auto reading = read_pressure(source_.path, wanted_.level);
  // Half, for the kernel guesses how much of the last window's stall lies within this one's length.
  if (reading && reading->total - *first_total_ < in_use_.stall / 2) {
    ++false_events_;
    return true;
  }
  first_total_.reset();
  return false;
}

void PsiWatch::poll_later() {
  timer_.expires_after(intervals_.poll);
  timer_.async_wait([self = shared_from_this()](const Error& error) {
    if (!error && !self->is_closed_) self->poll();
  });
}

void PsiWatch::poll() {
  const auto reading = read_pressure(polled_.get(), wanted_.level);
  if (!reading) return lose(kGone);
  poll_later();
  if (reading->percent >= wanted_.percent()) note_event();
}

void PsiWatch::check_later() {
  timer_.expires_after(intervals_.poll);
  timer_.async_wait([self = shared_from_this()](const Error& error) {
    if (!error && !self->is_closed_ && self->state_ == PsiWatchState::kTrigger) self->check();
  });
}

void PsiWatch::check() {
  if (!is_named(descriptor_.native_handle(), source_.path)) return lose(kGone);
  check_later();
}

bool PsiWatch::drain(bool& is_event) {
  is_event = false;
  std::array<char, 4096> chunk{};
  for (unsigned reads = 0; reads < kReadsMax; ++reads) {
    const ssize_t count = ::read(descriptor_.native_handle(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    const std::string_view bytes(chunk.data(), size_t(count));
    const bool is_echo = !echo_.empty() && bytes.starts_with(echo_);
    is_event = is_event || !is_echo || bytes.size() > echo_.size();
    echo_.clear();
  }
  return true;
}

void PsiWatch::note_event() {
  ++events_;
  last_event_ = std::chrono::steady_clock::now();
  listener_.on_event(wanted_.level, source_.path);
}

void PsiWatch::lose(const std::string& reason) {
  Error ignored;
  descriptor_.close(ignored);
  polled_.reset();
  reason_ = reason;
  state_ = PsiWatchState::kLost;
  // What held for long was no flutter.
  if (std::chrono::steady_clock::now() - opened_ > intervals_.retry_last) retry_delay_ = intervals_.retry_first;
  retry_later();
  listener_.on_lost(source_.path, reason);
}

void PsiWatch::retry_later() {
  timer_.expires_after(retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, intervals_.retry_last);
  timer_.async_wait([self = shared_from_this()](const Error& error) {
    if (!error && !self->is_closed_) self->retry();
  });
}

void PsiWatch::retry() {
  if (!open()) return retry_later();
  listener_.on_back(source_.path);
}

}  // namespace ztmpfs
