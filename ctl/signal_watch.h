#pragma once

#include <signal.h>

#include <chrono>
#include <initializer_list>
#include <optional>

#include "base/unique_fd.h"

namespace ztmpfs {

/// Takes signals in its own time instead of being interrupted by them. Made before threads are: they inherit that the
/// signals are blocked. The destructor has them do again what they did.
class SignalWatch {
 public:
  /// Throws std::system_error.
  explicit SignalWatch(std::initializer_list<int> signals);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// For poll(2): readable when a signal has come.
  int fd() const { return fd_.get(); }
  /// The next signal that has come, if one has.
  std::optional<int> take() const;
  /// Waits for a signal, not longer than `patience`.
  std::optional<int> wait(std::chrono::milliseconds patience) const;

 private:
  sigset_t before_;
  UniqueFd fd_;
};

}  // namespace ztmpfs
