#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "reclaim/reclaimer.h"

namespace ztmpfs {

/// A shrinker that does what a test tells it to, and remembers what it was asked for. Without a script it frees all
/// that it is asked for, while there is something.
class ScriptedShrinker {
 public:
  ScriptedShrinker(std::string name, unsigned cost, Bytes available, PressureLevel level = PressureLevel::kSome)
      : name_(std::move(name)), cost_(cost), level_(level), available_(available) {}
  // It is registered by its address.
  ScriptedShrinker(const ScriptedShrinker&) = delete;
  ScriptedShrinker& operator=(const ScriptedShrinker&) = delete;

  void register_with(Reclaimer& reclaimer) {
    registration_ = reclaimer.add({.name = name_,
                                   .cost = cost_,
                                   .level = level_,
                                   .count = [this] { return available_; },
                                   .scan = [this](Bytes budget) { return scan(budget); }});
  }
  /// What scan() does from now on.
  void set_script(std::function<ShrinkResult(Bytes budget)> script) { script_ = std::move(script); }
  void set_available(Bytes available) { available_ = available; }
  Bytes available() const { return available_; }
  bool is_registered() const { return bool(registration_); }
  /// The budgets of all scans so far.
  const std::vector<Bytes>& budgets() const { return budgets_; }

  /// Frees from what is available.
  ShrinkResult free(Bytes budget) {
    const Bytes freed = std::min(budget, available_);
    available_ -= freed;
    return {.freed = freed};
  }

 private:
  ShrinkResult scan(Bytes budget) {
    budgets_.push_back(budget);
    return script_ ? script_(budget) : free(budget);
  }

  const std::string name_;
  const unsigned cost_;
  const PressureLevel level_;
  Bytes available_;
  std::function<ShrinkResult(Bytes)> script_;
  std::vector<Bytes> budgets_;
  Reclaimer::Registration registration_;  // last: ends before what it uses
};

}  // namespace ztmpfs
