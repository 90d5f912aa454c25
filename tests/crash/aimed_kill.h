#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ztmpfs {

/// Kills a process so many instructions after it enters a function: kills at random instants all but miss windows of a
/// few stores. By ptrace(2), as a debugger does it: a breakpoint, then single steps. x86-64 only.
class AimedKill {
 public:
  /// False where it cannot be done: another processor, or tracing is forbidden.
  static bool is_possible();

  /// For the process itself, before it has threads: lets its parent trace it, and waits for that.
  static void offer();

  /// `process` is a child, forked without exec, that calls offer().
  AimedKill(pid_t process, uintptr_t function, uint32_t instructions)
      : process_(process), function_(function), instructions_(instructions) {}

  /// Lets the process run for `delay`, then until any of its threads enters the function, and kills it. The wait status
  /// of the process; it is killed on the spot if nothing has happened for some seconds.
  int run(uint32_t delay_microseconds);
  /// Whether it was killed there.
  bool has_hit() const { return has_hit_; }

 private:
  void resume_stopped(uint32_t microseconds, bool until_breakpoint);
  bool take_event(pid_t thread, int status);
  void step(pid_t thread);
  static bool await_step(pid_t thread);
  bool set_breakpoint();
  bool set_byte(uint8_t value) const;
  int reap() const;

  const pid_t process_;
  const uintptr_t function_;
  const uint32_t instructions_;
  uint8_t original_ = 0;
  bool has_died_ = false;
  bool has_hit_ = false;
  int status_ = 0;
};

}  // namespace ztmpfs
