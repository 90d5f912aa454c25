#include "daemon/holder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/runtime_dir.h"
#include "daemon/command_line.h"

namespace ztmpfs {

namespace {

constexpr size_t kSentenceMax = 1024;

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) throw_errno("cannot make a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string prepare_runtime_dir() {
  std::string path = runtime_dir();
  make_runtime_dir(path);
  return path;
}

// From here on the signals wait in the descriptor.
UniqueFd catch_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("cannot receive signals (signalfd)");
  return fd;
}

void let_inherit(const UniqueFd& fd) { ::fcntl(fd.get(), F_SETFD, 0); }

}  // namespace

Holder::Holder(const Options& options, std::function<void()> on_ready)
    : options_(options), on_ready_(std::move(on_ready)), lock_(prepare_runtime_dir(), options.name) {
  try {
    signals_ = catch_signals();
    descriptors_.image = ImageFiles::create(image_geometry(options_));
    Pipe life = make_pipe();
    descriptors_.holder = std::move(life.reader);
    holder_end_ = std::move(life.writer);
    failure_.reserve(kSentenceMax);
    FuseMount mount = mount_fuse(options_);
    descriptors_.fuse = std::move(mount.device);
    mountpoint_ = std::move(mount.mountpoint);
    descriptors_.device = mountpoint_.device;
  } catch (...) {
    lock_.remove_file();
    throw;
  }
}

Holder::~Holder() {
  if (mountpoint_.is_mounted()) unmount(mountpoint_, true);
  ::unlink(control_socket_path(runtime_dir(), options_.name).c_str());
  lock_.remove_file();
}

void Holder::start_server() {
  Pipe ready = make_pipe();
  ready_ = std::move(ready.reader);
  descriptors_.ready = std::move(ready.writer);
  descriptors_.lock.reset(::fcntl(lock_.fd(), F_DUPFD_CLOEXEC, 3));
  server_arguments_ = {"ztmpfs", format_server_argument(descriptors_)};
  for (std::string& argument : server_arguments(options_)) server_arguments_.push_back(std::move(argument));
  server_ = ::fork();
  if (server_ < 0) throw_errno("cannot start the server");
  if (server_ == 0) become_server();
  descriptors_.ready.reset();
  descriptors_.lock.reset();
}

void Holder::become_server() {
  for (const UniqueFd* fd :
       {&descriptors_.fuse, &descriptors_.image.meta, &descriptors_.image.data, &descriptors_.image.buffers,
        &descriptors_.ready, &descriptors_.holder, &descriptors_.lock})
    let_inherit(*fd);
  std::vector<char*> arguments;
  for (std::string& argument : server_arguments_) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Not by path: the program may have been replaced by another version since.
  ::execv("/proc/self/exe", arguments.data());
  const std::string sentence = std::string("cannot start the server from /proc/self/exe: ") + std::strerror(errno);
  [[maybe_unused]] const ssize_t written = ::write(descriptors_.ready.get(), sentence.data(), sentence.size());
  ::_exit(EXIT_FAILURE);
}

void Holder::read_ready_pipe() {
  std::array<char, kSentenceMax> text{};
  const ssize_t count = ::read(ready_.get(), text.data(), text.size());
  if (count < 0 && errno == EINTR) return;
  if (count <= 0) {
    ready_.reset();
  } else if (!is_ready_ && failure_.empty() && text[0] == kReady) {
    is_ready_ = true;
    on_ready_();
  } else if (failure_.size() + size_t(count) <= kSentenceMax) {
    failure_.append(text.data(), size_t(count));
  }
}

void Holder::forward_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == ssize_t(sizeof(info)))
    if (info.ssi_signo != SIGCHLD) ::kill(server_, SIGTERM);
}

bool Holder::server_has_ended(int& status) { return ::waitpid(server_, &status, WNOHANG) == server_; }

int Holder::run() {
  start_server();
  int status = 0;
  while (!server_has_ended(status)) {
    std::array<pollfd, 2> sources{pollfd{signals_.get(), POLLIN, 0}, pollfd{ready_.get(), POLLIN, 0}};
    if (::poll(sources.data(), sources.size(), -1) < 0) continue;  // interrupted
    if (sources[1].revents != 0) read_ready_pipe();
    if (sources[0].revents != 0) forward_signal();
  }
  while (ready_ && !is_ready_) read_ready_pipe();  // what the server has said before it ended
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && is_ready_) return EXIT_SUCCESS;
  if (!failure_.empty()) throw std::runtime_error(failure_);
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE) return EXIT_FAILURE;  // it has said why in the log
  const std::string how = WIFSIGNALED(status) ? std::string("was ended by signal ") + ::strsignal(WTERMSIG(status))
                                              : "ended with exit code " + std::to_string(WEXITSTATUS(status));
  throw std::runtime_error("the server of " + options_.name + " " + how + "; " + options_.mountpoint +
                           " is unmounted and its contents are gone");
}

}  // namespace ztmpfs
