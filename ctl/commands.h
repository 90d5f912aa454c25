#pragma once

#include <functional>
#include <iosfwd>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/mounts.h"
#include "ctl/ztmpfsctl.h"

namespace ztmpfs {

/// What a command works with.
struct CommandContext {
  const CtlSurroundings& surroundings;
  const std::vector<MountInfo>& mounts;  ///< empty for a command that does not ask them
  std::string target;                    ///< NAME, MOUNTPOINT or empty
  std::string argument;                  ///< of a command that takes one
  std::vector<std::string> arguments;    ///< of a command that takes several
  /// The command's own options that were given, by name ("--count"); the value is empty for one that takes none.
  std::map<std::string, std::string, std::less<>> options;
  bool as_json;
  std::ostream& out;
};

/// Arguments that make no sense: exit code 2.
class CtlUsageError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// An option of ztmpfsctl or of one command.
struct CommandOption {
  std::string_view name;        ///< "--count"
  std::string_view short_name;  ///< "-h", or empty
  std::string_view value;       ///< what stands for its value in the help; empty: it takes none
  std::string_view description;
};

/// One command of ztmpfsctl. `run` returns the exit code and throws std::runtime_error with a sentence, CtlUsageError
/// if the sentence is about its arguments.
struct Command {
  std::string_view name;
  std::string_view description;
  int (*run)(const CommandContext&);
  bool takes_target = true;
  std::string_view argument{};  ///< what stands for its argument in the help; empty: it takes none; "X...": one or more
  std::span<const CommandOption> options{};
  bool asks_mounts = true;  ///< false: it has nothing to do with those that are there

  /// Its argument may be given several times; then it has no target.
  bool takes_many() const { return argument.ends_with("..."); }
};

/// All of them, in the order of the help.
const std::vector<Command>& commands();

/// The options that go with every command.
std::span<const CommandOption> general_options();

}  // namespace ztmpfs
