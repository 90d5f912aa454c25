#include "daemon/holder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/memory_usage.h"
#include "base/runtime_dir.h"
#include "daemon/command_line.h"
#include "daemon/unix_listener.h"

namespace ztmpfs {

namespace {

// Taking up a large image takes a while; so much longer than a request may a server take for it.
constexpr int kAttachFactor = 10;

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

std::string prepare_runtime_dir() {
  std::string path = runtime_dir();
  make_runtime_dir(path);
  return path;
}

UniqueFd open_program() {
  UniqueFd program(::open("/proc/self/exe", O_PATH | O_CLOEXEC));
  if (!program) throw_errno("cannot open /proc/self/exe");
  return program;
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

const char* describe(ServerEnd end) {
  switch (end) {
    case ServerEnd::kParked: return "has left";
    case ServerEnd::kKilled: return "was killed";
    case ServerEnd::kHung: return "came to a standstill and was killed";
    default: return "has crashed";
  }
}

}  // namespace

Holder::Holder(const Options& options, std::function<void()> on_ready)
    : options_(options),
      on_ready_(std::move(on_ready)),
      program_(open_program()),
      lock_(prepare_runtime_dir(), options.name),
      policy_(options.readers) {
  try {
    signals_ = catch_signals();
    server_.emplace(make_descriptors(), program_.get(), server_arguments(options_));
    const ImageFiles& image = server_->descriptors().image;
    image.describe_mount({mountpoint_.path, mountpoint_.device, format_options(options_)});
    supervision_.emplace(image.meta.get());
    supervision_->record().mounted_at = to_record(now());
    hang_watch_.emplace(supervision_->record(), options_.hang);
  } catch (...) {
    remove_traces();
    throw;
  }
}

ServerDescriptors Holder::make_descriptors() {
  ServerDescriptors descriptors;
  descriptors.image = ImageFiles::create(image_geometry(options_));
  descriptors.control = listen_on(control_socket_path(runtime_dir(), options_.name), SOCK_STREAM);
  descriptors.lock.reset(::fcntl(lock_.fd(), F_DUPFD_CLOEXEC, 3));
  FuseMount mount = mount_fuse(options_);
  descriptors.fuse = std::move(mount.device);
  mountpoint_ = std::move(mount.mountpoint);
  descriptors.device = mountpoint_.device;
  return descriptors;
}

Holder::~Holder() { remove_traces(); }

void Holder::remove_traces() {
  if (mountpoint_.is_mounted()) unmount(mountpoint_, true);
  ::unlink(control_socket_path(runtime_dir(), options_.name).c_str());
  lock_.remove_file();
}

int Holder::run() {
  // Where it is permitted: the mount must not depend on what memory there is when its server has died. What the first
  // start touches is what the next ones need; all of it would be 9 MB.
  static_cast<void>(::mlockall(MCL_CURRENT | MCL_ONFAULT));
  oom_kills_seen_ = oom_kills();
  start_server();
  while (!exit_code_) wait_for_event();
  return *exit_code_;
}

void Holder::start_server() {
  restart_at_.reset();
  started_at_ = now();
  has_hung_ = false;
  if (!server_->start()) {
    log_limited(LogLevel::kError, "start", "cannot start a server: " + std::generic_category().message(errno));
    restart_at_ = started_at_ + RestartPolicy::kDelayMax;
  } else if (is_stopping_) {
    server_->give_order(ServerOrder::kUnmount);
  }
}

void Holder::wait_for_event() {
  // Its server sees the end of the connection itself.
  const int connection = server_->pid() == 0 && !has_given_up_ ? mountpoint_.connection : -1;
  std::array<pollfd, 3> sources{pollfd{signals_.get(), POLLIN, 0}, pollfd{server_->report_fd(), POLLIN, 0},
                                pollfd{connection, 0, 0}};
  ::poll(sources.data(), sources.size(), poll_timeout());
  if (sources[1].revents != 0) read_report();
  if (sources[0].revents != 0) take_signals();
  if (const auto status = server_->reap()) {
    if (server_->is_ready()) was_ever_ready_ = true;
    on_server_ended(*status);
  } else if (server_->pid() != 0) {
    look_for_hang();
  } else if (!has_given_up_ && !is_connected()) {
    exit_code_ = EXIT_SUCCESS;
  }
  if (restart_at_ && now() >= *restart_at_ && !exit_code_) start_server();
}

int Holder::poll_timeout() const {
  if (restart_at_) return int(std::max(*restart_at_ - now(), Milliseconds(0)).count());
  if (server_->pid() == 0 || options_.hang.count() == 0) return -1;
  return int(hang_watch_->interval().count());
}

void Holder::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == ssize_t(sizeof(info)))
    if (info.ssi_signo != SIGCHLD) stop(::strsignal(int(info.ssi_signo)));
}

void Holder::stop(const char* why) {
  if (has_given_up_) exit_code_ = EXIT_FAILURE;
  if (is_stopping_) return;
  is_stopping_ = true;
  log(LogLevel::kInfo, std::string("got ") + why);
  server_->give_order(ServerOrder::kUnmount);
}

void Holder::read_report() {
  const bool was_ready = server_->is_ready();
  server_->read_report();
  if (!server_->is_ready() || was_ready) return;
  hang_watch_->begin(now());
  if (!std::exchange(was_ever_ready_, true)) on_ready_();
}

void Holder::look_for_hang() {
  oom_kills_seen_ = oom_kills();
  const bool is_hung = server_->is_ready()
                           ? hang_watch_->is_hung(now())
                           : options_.hang.count() != 0 && now() - started_at_ > kAttachFactor * options_.hang;
  if (!is_hung) return;
  has_hung_ = true;
  server_->kill();
}

ServerEnd Holder::end_of(int status) const {
  if (has_hung_) return ServerEnd::kHung;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitParked) return ServerEnd::kParked;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? ServerEnd::kKilled : ServerEnd::kCrashed;
}

void Holder::on_server_ended(int status) {
  const auto has_exited = [status](int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; };
  if (has_exited(EXIT_SUCCESS) || has_exited(kExitCutOff)) {
    exit_code_ = has_exited(EXIT_SUCCESS) ? EXIT_SUCCESS : EXIT_FAILURE;
    return;
  }
  const bool has_refused = !server_->sentence().empty();
  if (has_refused && !was_ever_ready_) throw std::runtime_error(std::string(server_->sentence()));
  if (!is_connected()) {
    exit_code_ = has_exited(EXIT_FAILURE) ? EXIT_FAILURE : EXIT_SUCCESS;
    return;
  }
  const ServerEnd end = end_of(status);
  using Progress = RestartPolicy::Progress;
  const Progress progress = server_->is_ready()       ? Progress::kReady
                            : server_->has_attached() ? Progress::kAttached
                                                      : Progress::kNothing;
  const auto delay =
      policy_.after({.end = end, .progress = progress, .has_refused = has_refused, .lived = now() - started_at_});
  if (!delay) return give_up();
  note_restart(end);
  restart_at_ = now() + *delay;
  if (delay->count() == 0) start_server();
  log_limited(end == ServerEnd::kParked ? LogLevel::kInfo : LogLevel::kWarning, "restart",
              std::string("the server ") + describe(end) + ": another one goes on");
}

void Holder::note_restart(ServerEnd end) {
  SupervisionRecord& record = supervision_->record();
  const uint64_t kills = oom_kills();
  if (end == ServerEnd::kKilled && kills > oom_kills_seen_) record.oom_kills.fetch_add(1);
  oom_kills_seen_ = kills;
  record.last_end = end;
  record.server_restarts.fetch_add(1);
}

// Whoever uses the mount must not wait for ever.
void Holder::give_up() {
  has_given_up_ = true;
  abort_connection(mountpoint_);
  if (mountpoint_.is_mounted()) unmount(mountpoint_, true);
  log(LogLevel::kError,
      "no server could take up the mount again (" +
          (server_->sentence().empty() ? std::string("each has crashed") : std::string(server_->sentence())) +
          "): " + mountpoint_.path + " has ended, its contents are kept: see ztmpfsctl check " + options_.name +
          ", ztmpfsctl forget " + options_.name);
}

}  // namespace ztmpfs
