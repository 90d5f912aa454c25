#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "ctl/commands.h"

namespace ztmpfs {

/// What the arguments of ztmpfsctl come to.
struct Arguments {
  bool as_json = false;
  bool wants_help = false;
  bool wants_version = false;
  const Command* command = nullptr;  ///< none: only if help or the version is wanted
  std::string target;
  std::vector<std::string> arguments;  ///< the command's; as many as it takes
  std::map<std::string, std::string, std::less<>> options;
};

/// Options may stand anywhere, those of a command behind its name; what follows "--" is none. Throws CtlUsageError
/// with a sentence that names the culprit.
Arguments parse_arguments(const std::vector<std::string>& arguments);

}  // namespace ztmpfs
