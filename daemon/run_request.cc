#include "daemon/run_request.h"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <ranges>
#include <string_view>

#include "daemon/command_line.h"

namespace ztmpfs {

namespace {

constexpr const char* kHelp =
    R"(ztmpfs run: runs a command in a compressed RAM disk of its own.
Usage: ztmpfs run [OPTIONS] [--] COMMAND [ARGS...]

The command's work directory and its TMPDIR lie in a fresh mount, which is gone when the command has ended, with all
that it has left running.

Options:
  -o OPTION[,OPTION...]      options of the mount, as of ztmpfs: size=8G, xattr, ... (see ztmpfs --help)
  --copy-in DIR              copy DIR into the mount first; the work directory is the copy
  --copy-out PATH[:DEST]     when the command has succeeded copy PATH, relative to the work directory, to DEST
                             (default: PATH in the directory where run was called); several times
  --copy-out-always PATH[:DEST]  also when it has failed
  --replace                  let --copy-out replace directories that are there
  -q, --quiet                no line at the end about what was saved
  -h, --help                 print this

Environment of the command: TMPDIR, and ZTMPFS_MOUNT, the mount point.
Exit status: that of the command, or its signal; 125 (ztmpfs has failed, the reason is on stderr), 126 (the command
cannot be run), 127 (there is no such command).
)";

enum Choice : int { kCopyIn = 256, kCopyOut, kCopyOutAlways, kReplace };

constexpr std::array<option, 8> kLongOptions{{{"copy-in", required_argument, nullptr, kCopyIn},
                                              {"copy-out", required_argument, nullptr, kCopyOut},
                                              {"copy-out-always", required_argument, nullptr, kCopyOutAlways},
                                              {"replace", no_argument, nullptr, kReplace},
                                              {"options", required_argument, nullptr, 'o'},
                                              {"quiet", no_argument, nullptr, 'q'},
                                              {"help", no_argument, nullptr, 'h'},
                                              {nullptr, 0, nullptr, 0}}};
// Stops at the first word that is no option; says ':' where an argument is missing.
constexpr const char* kShortOptions = "+:o:qh";

// Options that make no sense for a mount that ends with its command.
constexpr std::array<std::string_view, 4> kRefused{"keep", "remount", "ro", "by_service"};

// A path that cannot lead out of the work directory by itself.
void check_source(const std::string& path) {
  const std::filesystem::path source(path);
  if (path.empty() || source.is_absolute() || std::ranges::find(source, "..") != source.end())
    throw UsageError("--copy-out '" + path + "' is not a path below the work directory");
}

std::string without_slash(std::filesystem::path path) {
  path = path.lexically_normal();
  return (path.has_relative_path() && path.filename().empty() ? path.parent_path() : path).string();
}

RunRequest::Result parse_result(const std::string& text, bool always) {
  const size_t colon = text.find(':');
  check_source(text.substr(0, colon));
  const std::string source = without_slash(text.substr(0, colon));
  std::filesystem::path destination = colon == std::string::npos ? source : text.substr(colon + 1);
  if (destination.empty()) throw UsageError("--copy-out '" + text + "' names no destination");
  // "DIR/" is below DIR under the same name.
  if (destination.filename().empty()) destination /= std::filesystem::path(source).filename();
  return {source, without_slash(std::filesystem::absolute(destination)), always};
}

std::string source_directory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::canonical(path, error);
  if (!error && !std::filesystem::is_directory(directory, error) && !error)
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw UsageError("--copy-in " + path + ": " + error.message());
  return directory.string();
}

void take(RunRequest& request, int choice, const char* value) {
  switch (choice) {
    case 'o': request.mount_options += (request.mount_options.empty() ? "" : ",") + std::string(value); return;
    case 'q': request.quiet = true; return;
    case 'h': request.text_to_print = kHelp; return;
    case kCopyIn:
      if (!request.copy_in.empty()) throw UsageError("--copy-in can be given only once");
      request.copy_in = source_directory(value);
      return;
    case kCopyOut: return request.copy_out.push_back(parse_result(value, false));
    case kCopyOutAlways: return request.copy_out.push_back(parse_result(value, true));
    case kReplace: request.replace = true; return;
    default: return;
  }
}

}  // namespace

RunRequest parse_run_request(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"ztmpfs run"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  RunRequest request;
  ::optind = 0;  // getopt(3): begin anew
  ::opterr = 0;
  while (true) {
    const int at = std::max(::optind, 1);
    const int choice = ::getopt_long(int(words.size()), pointers.data(), kShortOptions, kLongOptions.data(), nullptr);
    if (choice < 0) break;
    const std::string hint = " (see ztmpfs run --help)";
    if (choice == ':') throw UsageError("option " + words[size_t(at)] + " needs a value" + hint);
    if (choice == '?') throw UsageError("unknown option " + words[size_t(at)] + hint);
    take(request, choice, ::optarg);
    if (!request.text_to_print.empty()) return request;
  }
  request.command.assign(words.begin() + ::optind, words.end());
  if (request.command.empty()) throw UsageError("no command is given (see ztmpfs run --help)");
  return request;
}

Options run_mount_options(const RunRequest& request, const std::string& name, const std::string& mountpoint) {
  for (const Setting& setting : split_settings(request.mount_options))
    if (std::ranges::find(kRefused, setting.key) != kRefused.end())
      throw UsageError("option '" + setting.key + "' is not possible with ztmpfs run");
  Surroundings surroundings = Surroundings::current();
  surroundings.config_dir.clear();
  std::vector<std::string> arguments{"--", name, mountpoint};
  if (!request.mount_options.empty()) arguments.insert(arguments.begin(), {"-o", request.mount_options});
  Options options = parse_command_line(arguments, surroundings).options;
  check_psi_path(options);
  return options;
}

}  // namespace ztmpfs
