#include "ctl/ztmpfsctl.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <ostream>
#include <stdexcept>

#include "ctl/commands.h"
#include "ctl/mounts.h"

namespace ztmpfs {

namespace {

constexpr int kExitUsage = 2;
constexpr int kCommandWidth = 14;

struct Request {
  bool as_json = false;
  bool wants_help = false;
  bool wants_version = false;
  std::vector<std::string> words;  // COMMAND [TARGET] [ARGUMENT]
};

Request parse(const std::vector<std::string>& arguments) {
  Request request;
  bool are_options = true;
  for (const std::string& argument : arguments) {
    if (!are_options || !argument.starts_with('-')) {
      request.words.push_back(argument);
    } else if (argument == "--") {
      are_options = false;
    } else if (argument == "--json") {
      request.as_json = true;
    } else if (argument == "-h" || argument == "--help") {
      request.wants_help = true;
    } else if (argument == "-V" || argument == "--version") {
      request.wants_version = true;
    } else {
      throw CtlUsageError("option " + argument + " is unknown (see ztmpfsctl --help)");
    }
  }
  return request;
}

const Command& find_command(const Request& request) {
  if (request.words.empty()) throw CtlUsageError("a command is missing (see ztmpfsctl --help)");
  const std::string& name = request.words.front();
  const auto command = std::ranges::find(commands(), name, &Command::name);
  if (command == commands().end()) throw CtlUsageError("command " + name + " is unknown (see ztmpfsctl --help)");
  const size_t words_max = 1U + (command->takes_target ? 1U : 0U) + (command->argument.empty() ? 0U : 1U);
  if (request.words.size() > words_max) throw CtlUsageError(name + ": '" + request.words.back() + "' is too much");
  if (!command->argument.empty() && request.words.size() == 1)
    throw CtlUsageError(name + ": " + std::string(command->argument) + " is missing");
  return *command;
}

void print_help(std::ostream& out) {
  out << "Usage: ztmpfsctl [--json] COMMAND [NAME|MOUNTPOINT] [ARGUMENT]\n\n"
         "Asks mounted ztmpfs RAM disks. NAME may be left out when there is only one.\n\nCommands:\n";
  for (const Command& command : commands()) {
    const std::string name =
        std::string(command.name) + (command.argument.empty() ? "" : " ") + std::string(command.argument);
    out << "  " << std::left << std::setw(kCommandWidth) << name << command.description << "\n";
  }
  out << "\nOptions:\n  --json         the daemon's answer as it is\n  -h, --help     this text\n"
         "  -V, --version  the version\n\nExit status: 0, 1 (failed, the reason is on stderr), 2 (wrong usage).\n";
}

}  // namespace

int ztmpfsctl_main(const std::vector<std::string>& arguments, const CtlSurroundings& surroundings) {
  const auto complain = [&](const std::string& sentence) { surroundings.err << "ztmpfsctl: " << sentence << "\n"; };
  try {
    const Request request = parse(arguments);
    if (request.wants_help) {
      print_help(surroundings.out);
      return EXIT_SUCCESS;
    }
    if (request.wants_version) {
      surroundings.out << "ztmpfsctl " << ZTMPFS_VERSION << "\n";
      return EXIT_SUCCESS;
    }
    const Command& command = find_command(request);
    const std::vector<MountInfo> mounts = find_mounts(surroundings.runtime_dir, complain);
    auto words = std::vector<std::string>(request.words.begin() + 1, request.words.end());
    std::string argument;
    if (!command.argument.empty()) {
      argument = words.back();
      words.pop_back();
    }
    return command.run({.mounts = mounts,
                        .target = words.empty() ? "" : words.front(),
                        .argument = argument,
                        .as_json = request.as_json,
                        .out = surroundings.out});
  } catch (const CtlUsageError& error) {
    complain(error.what());
    return kExitUsage;
  } catch (const std::exception& error) {
    complain(error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace ztmpfs
