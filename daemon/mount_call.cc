#include "daemon/mount_call.h"

#include <cstdlib>
#include <iostream>

#include "daemon/command_line.h"
#include "daemon/launcher.h"

namespace ztmpfs {

namespace {

constexpr int kExitUsage = 2;

// The flags of one argument, which may be joined ("-nv"). Nothing is written to /etc/mtab (-n), nor told (-v).
void take_flags(const std::string& argument, MountCall& call) {
  for (const char flag : argument.substr(1)) {
    if (flag == 'f') {
      call.is_pretended = true;
    } else if (std::string_view("snv").find(flag) == std::string_view::npos) {
      throw UsageError("mount has passed on '" + argument + "', and ztmpfs knows no such flag of mount's");
    }
  }
}

}  // namespace

bool is_called_by_mount(std::string_view program) {
  return program.substr(program.find_last_of('/') + 1).starts_with("mount.");
}

MountCall parse_mount_call(const std::vector<std::string>& arguments) {
  MountCall call;
  std::vector<std::string> operands;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const bool has_value = argument == "-o" || argument == "-t" || argument == "-N";
    if (has_value && i + 1 == arguments.size())
      throw UsageError("mount has passed on '" + argument + "' without a value");
    if (argument == "-N") throw UsageError("mount -N is not possible with ztmpfs: use nsenter --mount");
    if (argument == "-o") call.arguments.insert(call.arguments.end(), {argument, arguments[i + 1]});
    if (has_value) {
      ++i;
    } else if (argument.size() > 1 && argument.front() == '-') {
      take_flags(argument, call);
    } else {
      operands.push_back(argument);
    }
  }
  call.arguments.emplace_back("--");
  call.arguments.insert(call.arguments.end(), operands.begin(), operands.end());
  return call;
}

int mount_call_main(const std::vector<std::string>& arguments) {
  try {
    const MountCall call = parse_mount_call(arguments);
    if (!call.is_pretended) return launcher_main(call.arguments);
    parse_command_line(call.arguments, Surroundings::current());
    return EXIT_SUCCESS;
  } catch (const UsageError& error) {
    std::cerr << "ztmpfs: " << error.what() << std::endl;
    return kExitUsage;
  }
}

}  // namespace ztmpfs
