#pragma once

#include <span>
#include <string_view>

#include "tests/posix/trace.h"

namespace ztmpfs {

/// A difference to tmpfs that is meant.
struct Deliberate {
  std::string_view operation;  ///< kind of operation; empty: any
  std::string_view label;      ///< end of the label of the value that differs
  /// What exactly is allowed to differ: ours and the reference's value.
  bool (*allows)(std::string_view ours, std::string_view reference);
  std::string_view reason;
  std::string_view section;  ///< heading in docs/posix.md
};

/// All of them.
std::span<const Deliberate> deliberate_differences();

/// The entry that allows the difference, or nullptr.
const Deliberate* find_deliberate(const Difference& difference);

}  // namespace ztmpfs
