#include "tests/crash/aimed_kill.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/check.h"
#include "base/unique_fd.h"

namespace ztmpfs {

#if defined(__x86_64__)

namespace {

constexpr uint8_t kBreakpoint = 0xcc;  // int3
constexpr uint32_t kPatienceMicroseconds = 5'000'000;
constexpr uint32_t kPollMicroseconds = 50;
// A step is done in microseconds, unless the thread waits for something.
constexpr uint32_t kStepSpins = 1000;
constexpr uint32_t kStepPolls = kStepSpins + 10'000;

UniqueFd open_memory(pid_t process) {
  return UniqueFd(::open(("/proc/" + std::to_string(process) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
}

}  // namespace

bool AimedKill::is_possible() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void AimedKill::offer() {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
}

int AimedKill::run(uint32_t delay_microseconds) {
  ::waitpid(process_, &status_, __WALL);
  ZTMPFS_CHECK(WIFSTOPPED(status_), "a child does not offer itself for tracing");
  ::ptrace(PTRACE_SETOPTIONS, process_, nullptr, PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL);
  ::ptrace(PTRACE_CONT, process_, nullptr, nullptr);
  resume_stopped(delay_microseconds, false);
  if (!has_died_ && set_breakpoint()) resume_stopped(kPatienceMicroseconds, true);
  ::kill(process_, SIGKILL);
  return has_died_ ? status_ : reap();
}

// New threads stop once; all else that stops is signals.
void AimedKill::resume_stopped(uint32_t microseconds, bool until_breakpoint) {
  for (uint32_t waited = 0; waited < microseconds && !has_died_; waited += kPollMicroseconds) {
    int status = 0;
    pid_t thread = 0;
    while ((thread = ::waitpid(-1, &status, __WALL | WNOHANG)) > 0)
      if (take_event(thread, status) && until_breakpoint) return;
    ::usleep(kPollMicroseconds);
  }
}

// True if the thread stands at the breakpoint's function and has made its steps.
bool AimedKill::take_event(pid_t thread, int status) {
  if (!WIFSTOPPED(status)) {
    has_died_ = thread == process_;
    status_ = has_died_ ? status : status_;
    return false;
  }
  const int signal = WSTOPSIG(status);
  if (signal == SIGTRAP && status >> 16 == 0) {
    step(thread);
    return true;
  }
  const bool is_real = signal != SIGTRAP && signal != SIGSTOP;
  ::ptrace(PTRACE_CONT, thread, nullptr, is_real ? signal : 0);
  return false;
}

void AimedKill::step(pid_t thread) {
  if (!set_byte(original_)) return;
  user_regs_struct registers{};
  ::ptrace(PTRACE_GETREGS, thread, nullptr, &registers);
  registers.rip = function_;
  has_hit_ = true;
  ::ptrace(PTRACE_SETREGS, thread, nullptr, &registers);
  for (uint32_t i = 0; i < instructions_; ++i) {
    if (::ptrace(PTRACE_SINGLESTEP, thread, nullptr, nullptr) != 0 || !await_step(thread)) return;
  }
}

// It may wait for a lock whose holder has stopped at the breakpoint too, or is about to start a thread.
bool AimedKill::await_step(pid_t thread) {
  int status = 0;
  for (uint32_t polls = 0; polls < kStepPolls; ++polls) {
    const pid_t stopped = ::waitpid(thread, &status, __WALL | WNOHANG);
    if (stopped != 0) return stopped == thread && WIFSTOPPED(status);
    if (polls > kStepSpins) ::usleep(kPollMicroseconds);
  }
  return false;
}

// False if the process has died meanwhile.
bool AimedKill::set_breakpoint() {
  const UniqueFd memory = open_memory(process_);
  return memory && ::pread(memory.get(), &original_, 1, off_t(function_)) == 1 && set_byte(kBreakpoint);
}

bool AimedKill::set_byte(uint8_t value) const {
  const UniqueFd memory = open_memory(process_);
  return memory && ::pwrite(memory.get(), &value, 1, off_t(function_)) == 1;
}

// The threads first: the process's own end is reported last.
int AimedKill::reap() const {
  int status = 0;
  pid_t thread = 0;
  do thread = ::waitpid(-1, &status, __WALL);
  while (thread != process_ || WIFSTOPPED(status));
  return status;
}

#else

bool AimedKill::is_possible() { return false; }
void AimedKill::offer() {}
int AimedKill::run(uint32_t) { return 0; }

#endif

}  // namespace ztmpfs
