#include "daemon/run_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "base/runtime_dir.h"
#include "daemon/control_request.h"
#include "daemon/descendants.h"
#include "daemon/first_open.h"
#include "daemon/launcher.h"
#include "daemon/run_orphans.h"
#include "daemon/server_descriptors.h"
#include "daemon/service_protocol.h"
#include "daemon/tree_copy.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::seconds kFiguresPatience{5};

// The run is to end by a signal.
struct Stopped {
  int signal;
};

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

pid_t fork_child() {
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "cannot start a process");
  return child;
}

// In a child: a signal when the parent has ended, which may have been already.
void end_with(pid_t parent, int signal) {
  ::prctl(PR_SET_PDEATHSIG, signal);
  if (::getppid() != parent) ::_exit(kExitRunFailed);
}

void close_all_but(std::vector<int> kept) {
  std::ranges::sort(kept);
  int next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd > next) ::close_range(unsigned(next), unsigned(fd - 1), 0);
    next = std::max(next, fd + 1);
  }
  ::close_range(unsigned(next), ~0U, 0);
}

void point_at_null(int fd) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(null.get(), fd);
}

UniqueFd receive_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw std::system_error(errno, std::generic_category(), "cannot receive signals (signalfd)");
  return fd;
}

// Appends what there is to read. False at the end.
bool read_some(int fd, std::string& text) {
  std::array<char, 4096> chunk{};
  const ssize_t count = ::read(fd, chunk.data(), chunk.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  text.append(chunk.data(), size_t(count));
  return count > 0;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(size_t(count));
  }
}

std::string figures(const std::string& socket) { return control_request(socket, "GET", "/v1/stats").body; }

// A copy has two directories open per level.
void allow_many_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

RunGuard::RunGuard(const RunRequest& request, const RunPlace& place, const Options& options, const CopyOut& results,
                   const InheritedSignals& signals, UniqueFd front)
    : request_(request),
      place_(place),
      options_(options),
      results_(results),
      inherited_(signals),
      front_pid_(::getppid()),
      group_(::getpgrp()),
      front_(std::move(front)) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_NAME, "ztmpfs-guard");
}

void RunGuard::run() {
  std::string text;
  try {
    text = serve();
  } catch (const Stopped& stopped) {
    result_.kind = RunResult::Kind::kStopped;
    result_.status = stopped.signal;
  } catch (const std::exception& error) {
    result_.kind = RunResult::Kind::kFailed;
    text = error.what();
  }
  std::string left;
  try {
    left = clean_up();
  } catch (const std::exception& error) {
    left = error.what();
  }
  answer(text.empty() || left.empty() ? text + left : text + "; " + left);
}

// Returns what is to be said, although the command has had its way.
std::string RunGuard::serve() {
  start_command();
  leave_group();
  place_.remove_abandoned();
  start_holder();
  perform([this] {
    prepare();
    return std::string();
  });
  run_command();
  ask_for_figures();
  return copy_out();
}

// In a step.
void RunGuard::prepare() const {
  make_first_open(place_.mountpoint());
  place_.make_temporary();
  if (request_.copy_in.empty()) return place_.make_work(options_.allow_other);
  allow_many_files();
  struct stat status{};
  if (::stat(place_.mountpoint().c_str(), &status) < 0)
    throw std::runtime_error("cannot look at " + place_.mountpoint() + ": " + std::strerror(errno));
  TreeCopy(status.st_dev).copy(request_.copy_in, place_.work());
}

// Now, as long as we are in the process group where the terminal wants it; it waits for its turn.
void RunGuard::start_command() {
  Pipe go = make_pipe();
  const pid_t self = ::getpid();
  command_ = fork_child();
  if (command_ == 0) {
    end_with(self, SIGKILL);
    // Whoever waits for the end of these must not wait for us.
    front_.reset();
    go.writer.reset();
    become_command(go.reader.get());
  }
  go_ = std::move(go.writer);
}

void RunGuard::become_command(int go) const {
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(kExitRunFailed);
  std::vector<char*> arguments;
  for (const std::string& word : request_.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::setenv("TMPDIR", place_.temporary().c_str(), 1);
  ::setenv("ZTMPFS_MOUNT", place_.mountpoint().c_str(), 1);
  std::string failure = "cannot enter " + place_.work();
  int exit_code = kExitRunFailed;
  if (::chdir(place_.work().c_str()) == 0) {
    if (inherited_.ignores_children) ::signal(SIGCHLD, SIG_IGN);
    ::sigprocmask(SIG_SETMASK, &inherited_.mask, nullptr);
    ::execvp(arguments.front(), arguments.data());
    failure = "cannot run " + request_.command.front();
    exit_code = errno == ENOENT ? kExitNoCommand : kExitCannotRun;
  }
  std::cerr << "ztmpfs run: " + failure + ": " + std::strerror(errno) + "\n" << std::flush;
  ::_exit(exit_code);
}

// Whoever kills the whole process group is not to meet us, nor the holder.
void RunGuard::leave_group() {
  ::setsid();
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) point_at_null(fd);
  close_all_but({front_.get(), go_.get()});
  signals_ = receive_signals();
}

void RunGuard::start_holder() {
  Pipe report = make_pipe();
  const pid_t self = ::getpid();
  holder_ = fork_child();
  if (holder_ == 0) become_holder(self, std::move(report.writer));
  report.writer.reset();
  std::string text;
  bool is_over = false;
  await([&] { return is_over || (is_over = !read_some(report.reader.get(), text)); }, report.reader.get());
  if (text != std::string(1, kReady))
    throw std::runtime_error(text.empty() ? "the holder has ended before the mount was usable" : text);
  is_mounted_ = true;
}

// It makes the directories itself: if guard and front are killed at once, it is who removes them.
void RunGuard::become_holder(pid_t guard, UniqueFd report) {
  end_with(guard, SIGTERM);
  ::prctl(PR_SET_NAME, "ztmpfs");
  close_all_but({report.get()});
  const UniqueFd front(int(::syscall(SYS_pidfd_open, front_pid_, 0)));
  const auto end_users = [&] {
    if (::getppid() != guard) end_orphaned_users(place_.mountpoint(), front.get());
  };
  int exit_code = EXIT_FAILURE;
  try {
    static_cast<void>(ServiceProtocol::from_environment());  // none of our business, nor of the server's
    const UniqueFd lock = place_.make(options_.allow_other);
    exit_code = hold_in_background(options_, {}, std::move(report), end_users);
  } catch (const std::exception& error) {
    write_all(report.get(), error.what());
  }
  if (::getppid() != guard) place_.remove();
  ::_exit(exit_code);
}

void RunGuard::run_command() {
  const auto start = Clock::now();
  phase_ = Phase::kCommand;
  write_all(go_.get(), "g");
  go_.reset();
  await([this] { return command_status_.has_value(); });
  // A signal from the terminal may have reached the command before the front process could tell us.
  phase_ = Phase::kIgnore;
  result_.kind = RunResult::Kind::kEnded;
  result_.status = *command_status_;
  result_.milliseconds = uint64_t(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start).count());
  end_descendants({holder_}, kRunGrace, kRunGrace + kRunPatience, [this] { reap(); });
}

// They are worth no failure.
void RunGuard::ask_for_figures() {
  try {
    const std::string socket = control_socket_path(runtime_dir(), place_.name());
    const boost::json::value stats = boost::json::parse(perform([&] { return figures(socket); }, kFiguresPatience));
    result_.data_max = stats.at("orig_data_max").to_number<Bytes>();
    result_.memory_max = stats.at("mem_used_max").to_number<Bytes>();
  } catch (const std::exception&) {
    result_.memory_max = 0;
  }
}

// The command's own failure is the more important one.
std::string RunGuard::copy_out() {
  const bool has_failed = result_.status != 0;
  if (!results_.is_needed(has_failed)) return {};
  phase_ = Phase::kAbort;
  try {
    perform([&] {
      allow_many_files();
      results_.copy(place_.work(), has_failed);
      return std::string();
    });
  } catch (const std::exception& error) {
    if (!has_failed) throw;
    return error.what();
  }
  return {};
}

// What is left to say; empty if nothing is left.
std::string RunGuard::clean_up() {
  const auto reap_all = [this] { reap(); };
  go_.reset();
  end_descendants({holder_}, kRunGrace, kRunGrace + kRunPatience, reap_all);
  if (holder_ != 0 && !has_holder_ended_) ::kill(holder_, SIGTERM);
  // The holder, its server and what they have started get their time, and an end.
  const auto until = Clock::now() + kRunUnmountMax;
  while (holder_ != 0 && !has_holder_ended_ && Clock::now() < until) {
    ::poll(nullptr, 0, 5);
    reap();
  }
  const std::vector<pid_t> left = end_descendants({}, std::chrono::milliseconds(0), kRunPatience, reap_all);
  results_.remove_remains();
  std::string text;
  for (const pid_t pid : left) text += (text.empty() ? "still running: " : ", ") + std::to_string(pid);
  if (!place_.remove()) text += (text.empty() ? "" : "; ") + place_.directory() + " cannot be removed";
  return text;
}

std::string RunGuard::perform(const std::function<std::string()>& step,
                              std::optional<std::chrono::milliseconds> patience) {
  constexpr char kDone = '+';
  Pipe report = make_pipe();
  const pid_t self = ::getpid();
  if (fork_child() == 0) {
    end_with(self, SIGKILL);
    ::sigprocmask(SIG_SETMASK, &inherited_.mask, nullptr);
    std::string text;
    try {
      text = kDone + step();
    } catch (const std::exception& error) {
      text = std::string("-") + error.what();
    }
    write_all(report.writer.get(), text);
    ::_exit(EXIT_SUCCESS);
  }
  report.writer.reset();
  std::string text;
  bool is_over = false;
  std::optional<Clock::time_point> deadline;
  if (patience) deadline = Clock::now() + *patience;
  await([&] { return is_over || (is_over = !read_some(report.reader.get(), text)); }, report.reader.get(), deadline);
  if (text.empty()) throw std::runtime_error("a process of ztmpfs was killed");
  if (text.front() != kDone) throw std::runtime_error(text.substr(1));
  return text.substr(1);
}

// `is_done` is asked when `readable` is readable, or, without one, after every event.
void RunGuard::await(const std::function<bool()>& is_done, int readable, std::optional<Clock::time_point> deadline) {
  while (true) {
    if (is_mounted_ && has_holder_ended_ && !command_status_)
      throw std::runtime_error("the mount " + place_.mountpoint() + " has ended before the command");
    if (readable < 0 && is_done()) return;
    int timeout = -1;
    if (deadline)
      timeout = int(std::max<int64_t>(
          0, std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now()).count()));
    std::array<pollfd, 3> sources{{{.fd = front_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = signals_.get(), .events = POLLIN, .revents = 0},
                                   {.fd = readable, .events = POLLIN, .revents = 0}}};
    const int count = ::poll(sources.data(), sources.size(), timeout);
    if (count == 0) {
      throw std::runtime_error("no answer in time");
    }
    if (count < 0) continue;
    if (sources[1].revents != 0) take_signals();
    if (sources[0].revents != 0) take_message();
    if (sources[2].revents != 0 && is_done()) return;
  }
}

void RunGuard::take_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == ssize_t(sizeof(info)))
    if (info.ssi_signo != SIGCHLD) throw Stopped{int(info.ssi_signo)};
  reap();
}

void RunGuard::take_message() {
  RunSignal signal{};
  const ssize_t count = ::recv(front_.get(), &signal, sizeof(signal), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count != ssize_t(sizeof(signal))) throw Stopped{SIGKILL};  // the front process is gone
  if (phase_ == Phase::kAbort) throw Stopped{signal.signal};
  if (phase_ == Phase::kCommand && !command_status_ && is_to_be_forwarded(signal)) ::kill(command_, signal.signal);
}

// Not what the command has got itself: from the terminal, or because it was sent to its process group by one of it. A
// terminal that goes away is told to the leader of the session alone, which the front process may be.
bool RunGuard::is_to_be_forwarded(const RunSignal& signal) const {
  if (signal.is_from_kernel != 0) return signal.signal == SIGHUP || ::getpgid(command_) != group_;
  const std::vector<pid_t> own = find_descendants(::getpid(), {holder_});
  return std::ranges::find(own, signal.sender) == own.end();
}

void RunGuard::reap() {
  int status = 0;
  while (true) {
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    if (pid == command_) command_status_ = status;
    if (pid == holder_) has_holder_ended_ = true;
  }
}

void RunGuard::answer(const std::string& text) const {
  iovec parts[2]{{const_cast<RunResult*>(&result_), sizeof(result_)},
                 {const_cast<char*>(text.data()), std::min(text.size(), kRunTextMax)}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  ::sendmsg(front_.get(), &message, MSG_NOSIGNAL);
}

}  // namespace ztmpfs
