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
#include <boost/json.hpp>
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
constexpr int kSignsPerBeat = 4;

[[noreturn]] void throw_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// From here on the signals wait in the descriptor.
UniqueFd catch_signals() {
  // Whoever started us may ignore the former, and whoever reads our log may end.
  ::signal(SIGCHLD, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw_errno("cannot receive signals (signalfd)");
  return fd;
}

std::string quote(const std::string& text) { return boost::json::serialize(boost::json::string(text)); }

const char* describe(ServerEnd end) {
  switch (end) {
    case ServerEnd::kParked: return "has left";
    case ServerEnd::kKilled: return "was killed";
    case ServerEnd::kHung: return "came to a standstill and was killed";
    default: return "has crashed";
  }
}

}  // namespace

Holder::Holder(const Options& options, std::function<void()> on_ready, ServiceProtocol service)
    : Holder(begin_holding(options, service.take_stored()), std::move(on_ready), std::move(service)) {}

Holder::Holder(HolderStart start, std::function<void()> on_ready, ServiceProtocol&& service)
    : options_(std::move(start.options)),
      on_ready_(std::move(on_ready)),
      service_(std::move(service)),
      is_image_adopted_(start.is_stored),
      is_mount_adopted_(start.connection),
      runtime_dir_(runtime_dir()),
      lock_(std::move(start.lock)),
      predecessor_(std::move(start.predecessor)),
      policy_(options_.readers),
      quoted_mountpoint_(quote(options_.mountpoint)),
      already_mounted_("a ztmpfs named " + options_.name + " is mounted already, on " + options_.mountpoint),
      is_on_terminal_(options_.foreground && ::isatty(STDERR_FILENO) == 1) {
  try {
    signals_ = catch_signals();
    supervision_.emplace(start.image.meta.get());
    SupervisionRecord& record = supervision_->record();
    if (!is_mount_adopted_) record.is_connection_over = start.has_contents ? 1 : 0;
    record.alive_interval = to_record(service_.watchdog_interval().value_or(Milliseconds(0)) / kSignsPerBeat);
    hang_watch_.emplace(record, options_.hang);
    server_.emplace(make_descriptors(std::move(start)), server_arguments(options_));
    program_.emplace(Program::started_from(), server_->descriptors().image, server_arguments(options_));
    server_->set_program(program_->fd());
    server_->set_on_news([this](ServerNews news, std::string_view text) { take_news(news, text); });
    // As long as it may be told that it has them, the predecessor sees a server of ours, whoever dies.
    if (predecessor_) server_->set_witness(predecessor_->fd());
    if (!is_mount_adopted_)
      server_->descriptors().image.describe_mount({mountpoint_.path, mountpoint_.device, format_options(options_)});
    if (!is_mount_adopted_) record.mounted_at = to_record(now());
    if (is_mount_adopted_) record.server_restarts.fetch_add(1);
    store_descriptors();
  } catch (...) {
    is_leaving_ = is_mount_adopted_;
    remove_traces();
    throw;
  }
}

ServerDescriptors Holder::make_descriptors(HolderStart start) {
  ServerDescriptors descriptors;
  descriptors.image = std::move(start.image);
  descriptors.control = listen_on(control_socket_path(runtime_dir_, options_.name), SOCK_STREAM);
  descriptors.lock.reset(::fcntl(lock_.fd(), F_DUPFD_CLOEXEC, 3));
  FuseMount mount{std::move(start.connection), start.mountpoint};
  if (!is_mount_adopted_) mount = mount_fuse(options_);
  descriptors.fuse = std::move(mount.device);
  mountpoint_ = std::move(mount.mountpoint);
  descriptors.device = mountpoint_.device;
  return descriptors;
}

void Holder::store_descriptors() {
  if (!is_image_adopted_) service_.store_image(server_->descriptors().image);
  if (!is_mount_adopted_) service_.store_connection(server_->descriptors().fuse);
}

Holder::~Holder() {
  if (!is_leaving_) {
    service_.stopping();
    service_.remove_connection();
    service_.remove_image();
  }
  remove_traces();
}

void Holder::remove_traces() {
  if (is_handed_over_) return;
  if (!is_leaving_ && mountpoint_.is_mounted()) unmount(mountpoint_, true);
  ::unlink(control_socket_path(runtime_dir_, options_.name).c_str());
  if (predecessor_) {
    // It goes on keeping the contents. What we began with them was another connection.
    supervision_->record().is_connection_over = 1;
  } else {
    lock_.remove_file();
  }
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
  park_by_.reset();
  reload_wait_.forget_orders();
  started_at_ = now();
  has_hung_ = false;
  if (!server_->start()) {
    log_limited(LogLevel::kError, "start", "cannot start a server: " + std::generic_category().message(errno));
    restart_at_ = started_at_ + RestartPolicy::kDelayMax;
    return;
  }
  // Until the predecessor has been told, the name is its own.
  if (!predecessor_) server_->give_order(ServerOrder::kOwnName);
  if (service_.keeps_image()) server_->give_order(ServerOrder::kOutlive);
  if (service_.is_present()) server_->give_order(ServerOrder::kTellStatus);
  if (is_stopping_) server_->give_order(ServerOrder::kUnmount);
}

void Holder::wait_for_event() {
  constexpr size_t kOwn = 3;
  std::array<pollfd, kOwn + HolderSocket::kSourcesMax> sources;
  sources.fill({.fd = -1, .events = 0, .revents = 0});
  sources[0] = {.fd = signals_.get(), .events = POLLIN, .revents = 0};
  sources[1] = {.fd = server_->report_fd(), .events = POLLIN, .revents = 0};
  // A server sees the end of the connection itself.
  if (state_ == State::kMounted && server_->pid() == 0) sources[2].fd = mountpoint_.connection;
  if (socket_) std::ranges::copy(socket_->sources(), sources.begin() + kOwn);
  ::poll(sources.data(), sources.size(), poll_timeout());
  if (sources[1].revents != 0) read_report();
  if (sources[0].revents != 0) take_signals();
  if (socket_) {
    HolderSocket::Sources clients;
    std::copy_n(sources.begin() + kOwn, clients.size(), clients.begin());
    if (const auto request = socket_->next(clients)) answer(*request);
  }
  look_after_server();
  tell_manager();
  beat();
}

void Holder::look_after_server() {
  if (const auto status = server_->reap()) {
    on_server_ended(*status);
  } else if (server_->pid() != 0) {
    look_for_hang();
  } else if (state_ == State::kMounted && !mountpoint_.is_connected()) {
    on_mount_ended(EXIT_SUCCESS);
  }
  if (checker_ != 0 && ::waitpid(checker_, nullptr, WNOHANG) == checker_) checker_ = 0;
  if (restart_at_ && now() >= *restart_at_ && !exit_code_) start_server();
  if (park_by_ && now() >= *park_by_) {
    park_by_.reset();
    server_->kill();
  }
  look_for_late_reload();
}

int Holder::poll_timeout() const {
  constexpr Milliseconds kForever = Milliseconds::max();
  Milliseconds at = std::min(restart_at_.value_or(kForever), park_by_.value_or(kForever));
  at = std::min(at, reload_wait_.by().value_or(kForever));
  if (service_.watchdog_interval()) at = std::min(at, beat_at_);
  if (has_to_tell()) at = std::min(at, now() + kTellRetry);
  if (server_->pid() != 0 && options_.hang.count() != 0) at = std::min(at, now() + hang_watch_->interval());
  if (at == kForever) return -1;
  return int(std::max(at - now(), Milliseconds(0)).count());
}

// A heartbeat for the service manager, unless the server stands still: then the manager is to see to it.
void Holder::beat() {
  const auto interval = service_.watchdog_interval();
  if (!interval || now() < beat_at_) return;
  const bool stands_still = server_->pid() != 0 && server_->is_ready() && hang_watch_->standstill(now()) > *interval;
  if (!stands_still) service_.watchdog();
  beat_at_ = now() + (stands_still ? *interval / kSignsPerBeat : *interval);
}

void Holder::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == ssize_t(sizeof(info))) {
    if (info.ssi_signo == SIGCHLD) continue;
    if (info.ssi_signo == SIGHUP && !is_on_terminal_) {
      begin_reload(std::nullopt);
    } else if (info.ssi_signo == SIGTERM && service_.keeps_image() && !predecessor_) {
      leave();
    } else {
      if (before_stop_) before_stop_();
      stop(::strsignal(int(info.ssi_signo)));
    }
  }
}

void Holder::stop(const char* why) {
  if (successor_ && socket_->has(*successor_)) {
    // It has the contents, the lock and soon the socket, and loses nothing if we go.
    socket_->release_path();
    is_handed_over_ = true;
  }
  if (state_ != State::kMounted) exit_code_ = state_ == State::kKept ? EXIT_SUCCESS : EXIT_FAILURE;
  if (is_stopping_ || is_leaving_) return;
  is_stopping_ = true;
  log(LogLevel::kInfo, std::string("got ") + why);
  server_->give_order(ServerOrder::kUnmount);
}

// The service manager will start another holder with what it keeps.
void Holder::leave() {
  if (is_stopping_ || is_leaving_) return;
  is_leaving_ = true;
  service_.stopping();
  log(LogLevel::kInfo, "leaving " + mountpoint_.path + " to the next start of the service");
  server_->give_order(ServerOrder::kPark);
  park_by_ = now() + kParkMax;
  if (server_->pid() == 0) exit_code_ = state_ == State::kFailed ? EXIT_FAILURE : EXIT_SUCCESS;
}

void Holder::read_report() {
  const bool had_attached = server_->has_attached();
  const bool was_ready = server_->is_ready();
  server_->read_report();
  if (server_->has_attached() && !had_attached) hang_watch_->begin(now());
  if (!server_->is_ready() || was_ready) return;
  if (upgrade_ && upgrade_->has_new_program) end_upgrade(HolderVerdict::kDone, "");
  if (!std::exchange(was_ever_ready_, true)) on_usable();
}

void Holder::on_usable() {
  socket_.emplace(holder_socket_path(runtime_dir_, options_.name));
  if (predecessor_) {
    predecessor_->tell(HolderRequest::kTaken);
    server_->set_witness(-1);
    predecessor_.reset();
    server_->give_order(ServerOrder::kOwnName);
  }
  if (status_length_ == 0) set_status("serving " + mountpoint_.path);  // it may have told already
  is_ready_due_ = true;
  tell_manager();
  on_ready_();
}

void Holder::look_for_hang() {
  oom_kills_seen_ = oom_kills();
  const bool is_hung = server_->has_attached()
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
  if (server_->is_ready() && !std::exchange(was_ever_ready_, true)) on_usable();  // it was quick
  const auto has_exited = [status](int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; };
  const bool has_refused = !server_->sentence().empty();
  if (has_exited(EXIT_SUCCESS) && !mountpoint_.is_connected()) return on_mount_ended(EXIT_SUCCESS);
  if (has_exited(kExitCutOff)) return on_mount_ended(EXIT_FAILURE);
  if (has_refused && !was_ever_ready_ && !is_image_adopted_) throw std::runtime_error(std::string(server_->sentence()));
  if (!mountpoint_.is_connected()) return on_mount_ended(has_exited(EXIT_FAILURE) ? EXIT_FAILURE : EXIT_SUCCESS);
  const ServerEnd end = end_of(status);
  if (is_leaving_) {
    supervision_->record().last_end = end;
    exit_code_ = EXIT_SUCCESS;
    return;
  }
  if (upgrade_ && upgrade_->has_new_program && server_->is_ready()) end_upgrade(HolderVerdict::kDone, "");
  if (upgrade_) return go_on_with_upgrade(end);
  if (reload_) end_reload(HolderVerdict::kRefused, "the server has ended meanwhile: reload again");
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

void Holder::on_mount_ended(int exit_code) {
  const bool has_contents = was_ever_ready_ || is_image_adopted_;
  if (!options_.keep || is_stopping_ || !has_contents) {
    is_leaving_ = false;
    exit_code_ = exit_code;
    return;
  }
  state_ = State::kKept;
  end_connection();
  show_status("unmounted, its contents are kept");
  if (is_leaving_) exit_code_ = exit_code;
  log(LogLevel::kInfo, mountpoint_.path + " has ended, its contents are kept: mount " + options_.name +
                           " again, or ztmpfsctl forget " + options_.name);
}

// Whoever uses the mount must not wait for ever.
void Holder::give_up() {
  if (!was_ever_ready_ && !is_image_adopted_)
    throw std::runtime_error("the server of " + options_.name + " has crashed " +
                             std::to_string(RestartPolicy::kAttachFailuresMax) + " times before it was usable");
  state_ = State::kFailed;
  abort_connection(mountpoint_);
  end_connection();
  show_status("given up: no server could take up the mount again; its contents are kept");
  const std::string why =
      server_->sentence().empty() ? std::string("each has crashed") : std::string(server_->sentence());
  log(LogLevel::kError, "no server could take up the mount again (" + why + "): " + mountpoint_.path +
                            " has ended, its contents are kept: see ztmpfsctl check " + options_.name +
                            ", ztmpfsctl forget " + options_.name);
}

// Nothing is left of the mount but the image.
void Holder::end_connection() {
  if (upgrade_) end_upgrade(HolderVerdict::kRefused, "the mount has ended meanwhile");
  if (reload_) end_reload(HolderVerdict::kRefused, "the mount has ended meanwhile");
  restart_at_.reset();
  supervision_->record().is_connection_over = 1;
  if (!socket_) socket_.emplace(holder_socket_path(runtime_dir_, options_.name));  // adopted, and never usable
  // The connection first: unmount(2) may wait for a server, and there is none.
  service_.remove_connection();
  server_->descriptors().fuse.reset();
  mountpoint_.connection = -1;
  if (mountpoint_.is_mounted()) unmount(mountpoint_, true);
  server_->descriptors().control.reset();
  ::unlink(control_socket_path(runtime_dir_, options_.name).c_str());
}

}  // namespace ztmpfs
