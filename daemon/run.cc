// The processes of `ztmpfs run`, and what the death of each leads to:
//
//   ztmpfs run             front: has the terminal, passes signals on, says how it ended. Subreaper: a second net
//     └─ guard             a session of its own, so that no signal to the process group meets it. Subreaper: what the
//         │                command leaves behind becomes its child. Exists before anything that has to be cleaned up
//         ├─ command       in front's process group and session: it is forked before the guard leaves them
//         ├─ holder        as of every mount (daemon/holder.h), in a session of its own
//         │    └─ server
//         └─ step          one at a time, for what looks into the mount: prepare, copy, ask for figures
//
//   command    its background processes are ended (SIGTERM, SIGKILL), then the mount, then the directories
//   front      the guard sees the end of their socket: it ends the command, and cleans up as always
//   guard      the kernel kills command and step and sends SIGTERM to the holder (PR_SET_PDEATHSIG); front inherits all
//              that is left, ends it and cleans up
//   holder     its server unmounts; the guard ends the command: 125
//   server     the holder starts another one; the command goes on
//   front and guard, at once: the holder kills what uses the mount, unmounts and removes the directories
//   all of them, at once: the next run removes what they have left (RunPlace::remove_abandoned)
#include "daemon/run.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/copy_out.h"
#include "daemon/descendants.h"
#include "daemon/options.h"
#include "daemon/run_guard.h"
#include "daemon/run_place.h"
#include "daemon/run_protocol.h"
#include "daemon/run_request.h"

namespace ztmpfs {

namespace {

// What somebody may send to the run and mean the command. What stops and continues a job comes to the whole process
// group by itself.
constexpr std::array kForwarded{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGUSR1, SIGUSR2};

struct Ending {
  RunResult result;
  std::string text;
};

void say(const std::string& text) { std::cerr << "ztmpfs run: " + text + "\n" << std::flush; }

bool is_ignored(int signal) {
  struct sigaction action{};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// From here on the signals wait in the descriptor; what was ignored stays so (nohup(1)).
UniqueFd receive_signals(InheritedSignals& inherited) {
  inherited.ignores_children = is_ignored(SIGCHLD);
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGCHLD);
  for (const int signal : kForwarded)
    if (!is_ignored(signal)) ::sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, &inherited.mask);
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw std::system_error(errno, std::generic_category(), "cannot receive signals (signalfd)");
  return fd;
}

void pass_on(const signalfd_siginfo& info, int guard) {
  const RunSignal signal{int32_t(info.ssi_signo), info.ssi_code == SI_KERNEL ? 1 : 0, pid_t(info.ssi_pid)};
  ::send(guard, &signal, sizeof(signal), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// Waits for the guard's end, whose status it returns, and passes signals on meanwhile. What the guard has said waits in
// the socket then.
int follow(pid_t guard, int socket, int signals) {
  ::fcntl(signals, F_SETFL, 0);
  signalfd_siginfo info{};
  int status = 0;
  while (::waitpid(guard, &status, WNOHANG) == 0)
    if (::read(signals, &info, sizeof(info)) == ssize_t(sizeof(info)) && info.ssi_signo != SIGCHLD)
      pass_on(info, socket);
  return status;
}

std::optional<Ending> receive_ending(int socket) {
  std::array<char, sizeof(RunResult) + kRunTextMax> message;
  ssize_t count = ::recv(socket, message.data(), message.size(), MSG_DONTWAIT);
  // The guard has not read all that we have told it: that comes first.
  if (count < 0 && errno == ECONNRESET) count = ::recv(socket, message.data(), message.size(), MSG_DONTWAIT);
  if (count < ssize_t(sizeof(RunResult))) return std::nullopt;
  Ending ending;
  std::copy_n(message.data(), sizeof(RunResult), reinterpret_cast<char*>(&ending.result));
  ending.text.assign(message.data() + sizeof(RunResult), size_t(count) - sizeof(RunResult));
  return ending;
}

// In the place of a guard that was killed: all that it had are our children now. `others` were so before it.
Ending clean_up_after_guard(const RunPlace& place, const CopyOut& results, const std::vector<pid_t>& others,
                            int status) {
  const auto reap = [] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  };
  end_descendants(others, kRunGrace, kRunGrace + kRunPatience, reap);
  results.remove_remains();
  place.remove();
  const std::string how = WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                                              : "ended with exit code " + std::to_string(WEXITSTATUS(status));
  return {{}, "its guard process " + how + ", and the command was killed with it"};
}

Ending run(const RunRequest& request) {
  const RunPlace place = RunPlace::choose();
  const Options options = run_mount_options(request, place.name(), place.mountpoint());
  const CopyOut results(request, place.name());
  InheritedSignals inherited;
  const UniqueFd signals = receive_signals(inherited);
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) < 0)
    throw std::system_error(errno, std::generic_category(), "cannot make a socket pair");
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Whoever has become ztmpfs run with exec may have had children.
  const std::vector<pid_t> others = find_descendants(::getpid());
  const pid_t guard = ::fork();
  if (guard < 0) throw std::system_error(errno, std::generic_category(), "cannot start a process");
  if (guard == 0) {
    ours.reset();
    RunGuard(request, place, options, results, inherited, std::move(theirs)).run();
    ::_exit(EXIT_SUCCESS);
  }
  theirs.reset();
  const int status = follow(guard, ours.get(), signals.get());
  auto ending = receive_ending(ours.get());
  return ending ? *ending : clean_up_after_guard(place, results, others, status);
}

std::string describe(const RunResult& result) {
  std::array<char, 64> seconds{};
  std::snprintf(seconds.data(), seconds.size(), "%.1f s", double(result.milliseconds) / 1000);
  std::string text = seconds.data();
  if (result.memory_max == 0) return text;
  std::array<char, 64> ratio{};
  // Of less data than the mount itself takes it says nothing.
  if (result.data_max >= result.memory_max)
    std::snprintf(ratio.data(), ratio.size(), " (ratio %.2f)", double(result.data_max) / double(result.memory_max));
  return text + ", at most " + format_bytes(result.data_max) + " of data in " + format_bytes(result.memory_max) +
         " of memory" + ratio.data();
}

// As the command did, so that a shell sees what it would see without us. Returns where that is not possible: as the
// first process of a container.
int end_by(int signal) {
  constexpr int kSignalBase = 128;
  const rlimit no_core{};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(signal, SIG_DFL);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  ::sigprocmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
  return kSignalBase + signal;
}

int finish(const Ending& ending, bool quiet) {
  ::signal(SIGPIPE, SIG_IGN);
  const RunResult& result = ending.result;
  if (!ending.text.empty()) say(ending.text);
  if (result.kind == RunResult::Kind::kFailed) return kExitRunFailed;
  if (result.kind == RunResult::Kind::kStopped) return end_by(result.status);
  if (!quiet) say(describe(result));
  return WIFSIGNALED(result.status) ? end_by(WTERMSIG(result.status)) : WEXITSTATUS(result.status);
}

}  // namespace

int run_main(const std::vector<std::string>& arguments) {
  try {
    const RunRequest request = parse_run_request(arguments);
    if (!request.text_to_print.empty()) {
      std::cout << request.text_to_print << std::flush;
      return EXIT_SUCCESS;
    }
    return finish(run(request), request.quiet);
  } catch (const std::exception& error) {
    say(error.what());
    return kExitRunFailed;
  }
}

}  // namespace ztmpfs
