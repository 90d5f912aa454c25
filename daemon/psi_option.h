#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/psi_trigger.h"

namespace ztmpfs {

/// What psi= asks for. The default-constructed one is that of a mount without it.
struct PsiOption {
  bool is_off = false;               ///< "off": nothing is watched
  std::string path;                  ///< an absolute path: the only source; empty: sources are looked for
  std::vector<PsiTrigger> triggers;  ///< at most one per level, instead of the defaults

  /// The trigger to use for a level: the one asked for, or the default.
  PsiTrigger trigger(PressureLevel level) const;
  bool names_trigger(PressureLevel level) const;
};

/// Reads the value of psi=: "off", an absolute path, a trigger such as "some:100ms/1s" (stalled for 100 ms within 1 s),
/// or one for each level with '+' between them: who wants less of "some" mostly wants less of "full" too, which is part
/// of it. The error is the rest of a sentence that starts with the option.
std::expected<PsiOption, std::string> parse_psi_option(std::string_view text);

/// Why `text` is no value for psi=, as the rest of a sentence that starts with the option; empty if it is one.
std::string psi_option_error(std::string_view text);

}  // namespace ztmpfs
