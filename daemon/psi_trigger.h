#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "reclaim/pressure_level.h"

namespace ztmpfs {

/// When the kernel is to tell of pressure: tasks were stalled for `stall` in all within the last `window`.
/// The limits are the kernel's: windows from 500 ms to 10 s (Documentation/accounting/psi.rst).
struct PsiTrigger {
  PressureLevel level = PressureLevel::kSome;
  std::chrono::microseconds stall{0};
  std::chrono::microseconds window{0};

  bool operator==(const PsiTrigger&) const = default;

  /// "some 100000 1000000": level, stall and window in microseconds, as the kernel wants it.
  std::string text() const;
  /// The stall as a share of the window, in percent: comparable to the averages of a pressure file.
  double percent() const;
  /// The same share within the next longer window that the kernel grants without CAP_SYS_RESOURCE: a multiple of 2 s.
  PsiTrigger for_everybody() const;
};

/// What is watched unless psi= says otherwise: "some:100ms/1s" or "full:50ms/1s".
PsiTrigger default_psi_trigger(PressureLevel level);

/// Reads what people write, "some:100ms/1s" with us, ms or s. The error is the rest of a sentence that starts with what
/// is wrong ("has a window that is not from 500ms to 10s").
std::expected<PsiTrigger, std::string> parse_psi_trigger(std::string_view text);

/// Reads what the kernel reads, "some 100000 1000000", with spaces, a newline or a NUL behind it or not. Nothing if it
/// is no trigger.
std::optional<PsiTrigger> read_psi_trigger(std::string_view text);

}  // namespace ztmpfs
