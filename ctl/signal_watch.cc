#include "ctl/signal_watch.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace ztmpfs {

SignalWatch::SignalWatch(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw std::system_error(errno, std::generic_category(), "signalfd");
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

SignalWatch::~SignalWatch() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

std::optional<int> SignalWatch::take() const {
  signalfd_siginfo info;
  if (::read(fd_.get(), &info, sizeof(info)) != sizeof(info)) return std::nullopt;
  return int(info.ssi_signo);
}

std::optional<int> SignalWatch::wait(std::chrono::milliseconds patience) const {
  pollfd poll{.fd = fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&poll, 1, int(patience.count())) <= 0) return std::nullopt;
  return take();
}

}  // namespace ztmpfs
