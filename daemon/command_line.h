#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// What the command line comes to.
struct CommandLine {
  Options options;
  std::string text_to_print;  ///< not empty: print it and exit 0 (--help, --version); the options mean nothing then
  /// Not empty: of a mount that is there these are to be changed (`-o remount`); of the options only the mount point
  /// counts then.
  std::vector<Setting> remount{};
};

/// Parses the arguments (without the program's name) and the configuration file of the mount; the command line wins.
/// Throws UsageError.
CommandLine parse_command_line(const std::vector<std::string>& arguments, const Surroundings& surroundings);

/// The arguments with which a server is started for `options`: parse_command_line() of them, without configuration
/// file, gives the same options again.
std::vector<std::string> server_arguments(const Options& options);

}  // namespace ztmpfs
