#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/mounts.h"

namespace ztmpfs {

/// What a command works with.
struct CommandContext {
  const std::vector<MountInfo>& mounts;
  std::string target;  ///< NAME, MOUNTPOINT or empty
  bool as_json;
  std::ostream& out;
};

/// One command of ztmpfsctl. `run` returns the exit code and throws std::runtime_error with a sentence.
struct Command {
  std::string_view name;
  std::string_view description;
  int (*run)(const CommandContext&);
  bool takes_target = true;
};

/// All of them, in the order of the help.
const std::vector<Command>& commands();

}  // namespace ztmpfs
