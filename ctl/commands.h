#pragma once

#include <iosfwd>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/mounts.h"

namespace ztmpfs {

/// What a command works with.
struct CommandContext {
  const std::vector<MountInfo>& mounts;
  std::string target;    ///< NAME, MOUNTPOINT or empty
  std::string argument;  ///< of a command that takes one
  bool as_json;
  std::ostream& out;
};

/// Arguments that make no sense: exit code 2.
class CtlUsageError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// One command of ztmpfsctl. `run` returns the exit code and throws std::runtime_error with a sentence, CtlUsageError
/// if the sentence is about its argument.
struct Command {
  std::string_view name;
  std::string_view description;
  int (*run)(const CommandContext&);
  bool takes_target = true;
  std::string_view argument{};  ///< what stands for its argument in the help; empty: it takes none
};

/// All of them, in the order of the help.
const std::vector<Command>& commands();

}  // namespace ztmpfs
