#include "ctl/ztmpfsctl.h"

#include <cstdlib>
#include <exception>
#include <ostream>

#include "ctl/arguments.h"
#include "ctl/commands.h"
#include "ctl/help.h"
#include "ctl/mounts.h"

namespace ztmpfs {

namespace {

constexpr int kExitUsage = 2;

int run(const Arguments& arguments, const CtlSurroundings& surroundings,
        const std::function<void(const std::string&)>& complain) {
  if (arguments.wants_help) {
    surroundings.out << (arguments.command != nullptr ? help_text(*arguments.command) : help_text());
    return EXIT_SUCCESS;
  }
  if (arguments.wants_version) {
    surroundings.out << "ztmpfsctl " << ZTMPFS_VERSION << "\n";
    return EXIT_SUCCESS;
  }
  std::vector<MountInfo> mounts;
  if (arguments.command->asks_mounts) mounts = find_mounts(surroundings.runtime_dir, complain);
  return arguments.command->run({.surroundings = surroundings,
                                 .mounts = mounts,
                                 .target = arguments.target,
                                 .argument = arguments.arguments.empty() ? "" : arguments.arguments.front(),
                                 .arguments = arguments.arguments,
                                 .options = arguments.options,
                                 .as_json = arguments.as_json,
                                 .out = surroundings.out});
}

}  // namespace

int ztmpfsctl_main(const std::vector<std::string>& arguments, const CtlSurroundings& surroundings) {
  const auto complain = [&](const std::string& sentence) { surroundings.err << "ztmpfsctl: " << sentence << "\n"; };
  try {
    return run(parse_arguments(arguments), surroundings, complain);
  } catch (const CtlUsageError& error) {
    complain(error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    complain(error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace ztmpfs
