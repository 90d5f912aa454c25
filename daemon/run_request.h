#pragma once

#include <string>
#include <vector>

#include "daemon/options.h"

namespace ztmpfs {

/// What `ztmpfs run` is asked to do.
struct RunRequest {
  /// Something to be copied out of the mount when the command has ended.
  struct Result {
    std::string source;       ///< relative to the work directory
    std::string destination;  ///< absolute
    bool always;              ///< also after a command that failed
  };

  std::vector<std::string> command;  ///< with its arguments
  std::string mount_options;         ///< for -o
  std::string copy_in;               ///< a directory; empty: the work directory is empty
  std::vector<Result> copy_out;
  bool replace = false;         ///< destinations may be directories that are there
  bool quiet = false;           ///< no figures at the end
  std::string text_to_print{};  ///< not empty: print it and exit 0 (--help); the rest means nothing then
};

/// Parses what follows `ztmpfs run`. Destinations are taken from the current directory. Throws UsageError.
RunRequest parse_run_request(const std::vector<std::string>& arguments);

/// The options of the mount of a run, checked. Throws UsageError.
Options run_mount_options(const RunRequest& request, const std::string& name, const std::string& mountpoint);

}  // namespace ztmpfs
