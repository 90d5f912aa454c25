#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// What the command line comes to.
struct CommandLine {
  Options options;
  /// Not empty: print it and exit 0 (--help, --version, --check-config); the options mean nothing then.
  std::string text_to_print;
  /// Not empty: of a mount that is there these are to be changed (`-o remount`); of the options only the mount point
  /// counts then.
  std::vector<Setting> remount{};
  bool is_by_service = false;           ///< only see that it is mounted; of the options only name and mount point count
  std::vector<std::string> warnings{};  ///< sentences about the configuration
};

/// Parses the arguments (without the program's name) and the configuration file of the mount; the command line wins.
/// Throws UsageError.
CommandLine parse_command_line(const std::vector<std::string>& arguments, const Surroundings& surroundings);

/// The options of a mount in use as they were if it were mounted now: with its configuration read again, and what was
/// said on the command line then. Throws UsageError.
Options read_options_again(const Options& options, const Surroundings& surroundings);

/// The arguments with which a server is started for `options`: parse_command_line() of them, without configuration
/// file, gives the same options again.
std::vector<std::string> server_arguments(const Options& options);

}  // namespace ztmpfs
