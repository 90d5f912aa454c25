#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/psi_source.h"

namespace ztmpfs {

/// Opens a source for waiting and writes `text` into it (a trigger, or the greeting of a FIFO or socket; may be empty).
/// Tests have one of their own.
using PsiOpen = std::function<Result<UniqueFd>(const PsiSource& source, std::string_view text)>;

/// PsiOpen for the kernel's files, FIFOs and sockets. Never blocks. A file gets nothing written that cannot be waited
/// for, so no ordinary file is ever overwritten: operation_not_permitted.
Result<UniqueFd> open_psi_source(const PsiSource& source, std::string_view text);

/// One line of a pressure file.
struct PsiReading {
  double percent = 0;                  ///< of the last 10 s that tasks were stalled
  std::chrono::microseconds total{0};  ///< that tasks were stalled since the file was made
};

/// The line of `level` from an open pressure file; nothing if it cannot be read or is none.
std::optional<PsiReading> read_pressure(int fd, PressureLevel level);
/// The same from a path.
std::optional<PsiReading> read_pressure(const std::string& path, PressureLevel level);

}  // namespace ztmpfs
