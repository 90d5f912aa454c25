#include "ctl/help.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace ztmpfs {

namespace {

constexpr std::string_view kExitStatus = "Exit status: 0, 1 (failed, the reason is on stderr), 2 (wrong usage).\n";

std::string left_side(const CommandOption& option) {
  std::string text;
  if (!option.short_name.empty()) text += std::string(option.short_name) + ", ";
  text += option.name;
  if (!option.value.empty()) text += " " + std::string(option.value);
  return text;
}

void print_options(std::ostream& out, std::span<const CommandOption> options) {
  size_t width = 0;
  for (const CommandOption& option : options) width = std::max(width, left_side(option).size());
  for (const CommandOption& option : options)
    out << "  " << std::left << std::setw(int(width) + 2) << left_side(option) << option.description << "\n";
}

}  // namespace

std::string usage_line(const Command& command) {
  std::string text = "ztmpfsctl [--json] " + std::string(command.name);
  for (const CommandOption& option : command.options)
    text += " [" + std::string(option.name) + (option.value.empty() ? "" : " ") + std::string(option.value) + "]";
  if (command.takes_target) text += command.name == "forget" ? " NAME" : " [NAME|MOUNTPOINT]";
  if (!command.argument.empty()) text += " " + std::string(command.argument);
  return text;
}

std::string help_text() {
  std::ostringstream out;
  out << "Usage: ztmpfsctl [--json] COMMAND [NAME|MOUNTPOINT] [ARGUMENT]\n\n"
         "Asks mounted ztmpfs RAM disks. NAME may be left out when there is only one.\n\nCommands:\n";
  size_t width = 0;
  const auto left = [](const Command& command) {
    return std::string(command.name) + (command.argument.empty() ? "" : " ") + std::string(command.argument);
  };
  for (const Command& command : commands()) width = std::max(width, left(command).size());
  for (const Command& command : commands())
    out << "  " << std::left << std::setw(int(width) + 2) << left(command) << command.description << "\n";
  out << "\nOptions:\n";
  print_options(out, general_options());
  out << "\nztmpfsctl COMMAND --help tells more about a command.\n" << kExitStatus;
  return out.str();
}

std::string help_text(const Command& command) {
  std::ostringstream out;
  out << "Usage: " << usage_line(command) << "\n\n" << command.name << ": " << command.description << ".\n";
  if (command.takes_target && command.name != "forget") out << "NAME may be left out when there is only one mount.\n";
  out << "\nOptions:\n";
  if (!command.options.empty()) print_options(out, command.options);
  print_options(out, general_options());
  out << "\nztmpfsctl(1) tells more.\n" << kExitStatus;
  return out.str();
}

}  // namespace ztmpfs
