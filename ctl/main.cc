#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/runtime_dir.h"
#include "ctl/ztmpfsctl.h"

namespace {

// A terminal that does not know ANSI's sequences says so in TERM.
bool knows_sequences() {
  const char* term = std::getenv("TERM");
  return term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

// See no-color.org.
bool minds_colours() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color != nullptr && *no_color != '\0';
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const bool knows = knows_sequences();
  const bool is_out_terminal = ::isatty(STDOUT_FILENO) == 1;
  return ztmpfs::ztmpfsctl_main(arguments, {.runtime_dir = ztmpfs::runtime_dir(),
                                            .out = std::cout,
                                            .err = std::cerr,
                                            .has_colours = is_out_terminal && knows && !minds_colours(),
                                            .is_err_terminal = knows && ::isatty(STDERR_FILENO) == 1,
                                            .has_screen = is_out_terminal && knows && ::isatty(STDIN_FILENO) == 1});
}
