#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace ztmpfs {

/// What the program touches besides its arguments; tests give their own.
struct CtlSurroundings {
  std::string runtime_dir;  ///< where the control sockets lie
  std::ostream& out;
  std::ostream& err;
  bool has_colours = false;      ///< `out` is a terminal that takes them, and nobody minds (NO_COLOR)
  bool is_err_terminal = false;  ///< a progress bar on `err` is seen by somebody
  bool has_screen = false;       ///< standard input and output are a terminal that knows ANSI's sequences
};

/// The command `ztmpfsctl`; the arguments come without the program's name. Returns the exit code: 0, 1 (failed, one
/// sentence on `err`) or 2 (usage).
int ztmpfsctl_main(const std::vector<std::string>& arguments, const CtlSurroundings& surroundings);

}  // namespace ztmpfs
