#include "daemon/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "daemon/config_file.h"
#include "daemon/remount.h"

namespace ztmpfs {

namespace {

constexpr const char* kDescription =
    "ztmpfs: tmpfs, compressed. Mounts a RAM disk on MOUNTPOINT that holds two to three times what fits in the memory "
    "it\n"
    "uses. umount MOUNTPOINT (or fusermount3 -u MOUNTPOINT) ends it and gives everything back.\n"
    "ztmpfs run COMMAND runs a command in a mount of its own: see ztmpfs run --help.";

constexpr const char* kOptionsHelp =
    R"(MOUNTPOINT may be left out if the configuration, /etc/ztmpfs/NAME.toml, says it: mountpoint = "/mnt/x".

Options for -o (also, one per line, in /etc/ztmpfs/NAME.toml; sizes take K, M, G, T and %):
  size=BYTES           cap on all memory the mount may use (default 50% of RAM or of the own cgroup's limit)
  logical=BYTES        cap on the bytes of files before compression (default none)
  hot=BYTES            what may sit uncompressed, % of size (default the smaller of 256M and size/8)
  block=BYTES          unit of compression, a power of two from 4K to 128K (default 32K)
  codec=NAME           for settled contents: lz4, zstd, zstd:LEVEL or none (default zstd:3 for 16M of each file)
  uid= gid= mode=      owner and octal mode of the root directory (default yours, and 1777)
  allow_other          let other users in; the kernel then checks permissions
  default_permissions  have the kernel check permissions in any case
  xattr                extended attributes: user, trusted and security (the first write to a file costs a request more)
  acl                  POSIX ACLs; has xattr and default_permissions with it
  keep                 contents outlive umount, until NAME is mounted without it, or ztmpfsctl forget NAME
  psi=TRIGGER          memory pressure that starts reclaim: some:100ms/1s, full:..., both with '+' between them,
                       the path of a pressure file, FIFO or socket, or off (default some:100ms/1s+full:50ms/1s)
  hang=TIME            a server that is busy with one request for so long is killed and replaced (default 30s, or off)
  fsname= subtype=     what findmnt shows as source (default NAME) and, after "fuse.", as type (default ztmpfs)
  ro rw suid nosuid dev nodev exec noexec atime noatime relatime strictatime diratime nodiratime lazytime sync async
  dirsync nosymfollow  as for every file system (default nosuid,nodev); x-* and what only fstab needs is ignored
  remount              change size, hot, psi and the flags of the mount that is on MOUNTPOINT
  by_service           mount nothing: fail unless NAME is on MOUNTPOINT already

Exit status: 0, 1 (failed, the reason is on stderr), 2 (wrong usage, nothing was mounted).)";

// CLI11 reads reversed arguments from a vector.
std::vector<std::string> reversed(std::vector<std::string> arguments) {
  std::ranges::reverse(arguments);
  return arguments;
}

// CLI11's messages may have several lines; ours have one.
std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// The arguments as they were written.
struct Arguments {
  bool foreground = false;
  bool is_check = false;
  std::vector<std::string> option_lists;
  std::string config_dir;
  std::string name;
  std::optional<std::string> mountpoint;
  // For a reload; of a server only.
  std::string reload_from;
  std::string given;
  std::string mountpoint_origin;
};

// How a holder hands to its servers what they need for a reload.
constexpr const char* kReloadFrom = "--reload-from";
constexpr const char* kReloadGiven = "--reload-given";
constexpr const char* kReloadMountpoint = "--reload-mountpoint";

void describe_arguments(CLI::App& app, Arguments& arguments) {
  app.footer(kOptionsHelp);
  app.set_version_flag("-V,--version", std::string("ztmpfs ") + ZTMPFS_VERSION);
  app.add_flag("-f,--foreground", arguments.foreground, "Stay in the foreground, log to stderr");
  app.add_option("-o", arguments.option_lists, "Options of the mount, separated by commas; may be given several times")
      ->type_name("OPTION[,OPTION...]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_flag("--check-config", arguments.is_check, "Mount nothing; print what NAME would be mounted with");
  app.add_option("--config-dir", arguments.config_dir, "Where NAME.toml is looked for, instead of /etc/ztmpfs")
      ->type_name("DIRECTORY");
  for (const auto& [name, text] :
       {std::pair{kReloadFrom, &arguments.reload_from}, std::pair{kReloadGiven, &arguments.given},
        std::pair{kReloadMountpoint, &arguments.mountpoint_origin}})
    app.add_option(name, *text)->group("");  // not shown
  app.add_option("NAME", arguments.name, "Name of the mount, for ztmpfsctl")->required();
  app.add_option("MOUNTPOINT", arguments.mountpoint, "Directory to mount on; may be left to the configuration");
}

// Of -o lists, in order.
std::vector<Setting> settings_of(const std::vector<std::string>& lists) {
  std::vector<Setting> settings;
  for (const std::string& list : lists)
    for (Setting& setting : split_settings(list)) settings.push_back(std::move(setting));
  return settings;
}

std::string join(const std::vector<std::string>& lists) {
  std::string text;
  for (const std::string& list : lists) text.append(text.empty() ? "" : ",").append(list);
  return text;
}

// Without a name that can be one there is no configuration, and resolve_options() says so.
MountConfig read_config_of(const Arguments& arguments, Surroundings surroundings) {
  if (!arguments.config_dir.empty()) {
    if (!arguments.config_dir.starts_with('/'))
      throw UsageError("option '--config-dir=" + one_line(arguments.config_dir) + "' is no absolute path");
    surroundings.config_dir = arguments.config_dir;
    surroundings.user_config_dir.clear();
  }
  if (!is_valid_name(arguments.name) || surroundings.config_dir.empty()) return {.directory = "", .settings = {}};
  return read_mount_config(surroundings, arguments.name);
}

std::string choose_mountpoint(const Arguments& arguments, const MountConfig& config) {
  if (arguments.mountpoint) return *arguments.mountpoint;
  if (config.mountpoint) return *config.mountpoint->value;
  if (config.exists)
    throw UsageError("option 'mountpoint' in " + config.directory + "/" + arguments.name +
                     ".toml is missing: " + "it says where to mount unless MOUNTPOINT is given");
  throw UsageError(
      "MOUNTPOINT is missing" +
      (config.directory.empty() ? "" : ", and there is no " + config.directory + "/" + arguments.name + ".toml") +
      " (see ztmpfs --help)");
}

std::vector<std::string> warnings_about(const Options& options) {
  std::vector<std::string> warnings;
  if (options.mountpoint_origin.empty()) return warnings;
  for (const std::string& name : configs_with_mountpoint(options.config_dir, options.mountpoint, options.name))
    warnings.push_back("option 'mountpoint'" + options.mountpoint_origin + " is also that of " + name +
                       ": only one of the two can be mounted");
  return warnings;
}

// What --check-config prints: a line per option, the mount point first.
std::string describe_config(const Options& options) {
  std::string text = "mountpoint=" + options.mountpoint + "\n";
  for (const Setting& setting : split_settings(format_options(options)))
    text += setting.key + (setting.value ? "=" + *setting.value : "") + "\n";
  return text;
}

Options resolve(const Arguments& arguments, const MountConfig& config, const Surroundings& surroundings) {
  std::vector<Setting> settings = config.settings;
  const std::vector<Setting> given = settings_of(arguments.option_lists);
  settings.insert(settings.end(), given.begin(), given.end());
  Options options = resolve_options(arguments.name, choose_mountpoint(arguments, config), settings, surroundings);
  options.foreground = arguments.foreground;
  options.config_dir = config.directory;
  options.given = join(arguments.option_lists);
  if (!arguments.mountpoint) options.mountpoint_origin = config.mountpoint->origin;
  return options;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& words, const Surroundings& surroundings) {
  CLI::App app(kDescription, "ztmpfs");
  Arguments arguments;
  describe_arguments(app, arguments);
  try {
    app.parse(reversed(words));
  } catch (const CLI::CallForHelp&) {
    return {.options = {}, .text_to_print = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return {.options = {}, .text_to_print = std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    throw UsageError(one_line(error.what()) + " (see ztmpfs --help)");
  }
  std::vector<Setting> given = settings_of(arguments.option_lists);
  if (is_remount(given) || is_by_service(given)) {
    if (!arguments.mountpoint) throw UsageError("MOUNTPOINT is missing: that of a mount that is there");
    CommandLine command_line{.options = {}, .text_to_print = ""};
    command_line.options.name = arguments.name;
    command_line.options.mountpoint = *arguments.mountpoint;
    command_line.is_by_service = is_by_service(given);
    if (!command_line.is_by_service) command_line.remount = std::move(given);
    return command_line;
  }
  Options options = resolve(arguments, read_config_of(arguments, surroundings), surroundings);
  if (!arguments.reload_from.empty()) {
    options.config_dir = arguments.reload_from;
    options.given = arguments.given;
    options.mountpoint_origin = arguments.mountpoint_origin;
    return {.options = std::move(options), .text_to_print = ""};
  }
  CommandLine command_line{.options = std::move(options), .text_to_print = ""};
  command_line.warnings = warnings_about(command_line.options);
  if (arguments.is_check) command_line.text_to_print = describe_config(command_line.options);
  return command_line;
}

Options read_options_again(const Options& options, const Surroundings& surroundings) {
  Arguments arguments;
  arguments.foreground = options.foreground;
  arguments.name = options.name;
  arguments.config_dir = options.config_dir;
  if (!options.given.empty()) arguments.option_lists = {options.given};
  if (options.mountpoint_origin.empty()) arguments.mountpoint = options.mountpoint;
  return resolve(arguments, read_config_of(arguments, surroundings), surroundings);
}

std::vector<std::string> server_arguments(const Options& options) {
  std::vector<std::string> arguments{"-o", format_options(options)};
  if (options.foreground) arguments.emplace_back("-f");
  for (const auto& [name, text] : {std::pair{kReloadFrom, options.config_dir}, std::pair{kReloadGiven, options.given},
                                   std::pair{kReloadMountpoint, options.mountpoint_origin}})
    if (!text.empty()) arguments.push_back(std::string(name) + "=" + text);
  arguments.insert(arguments.end(), {"--", options.name, options.mountpoint});
  return arguments;
}

}  // namespace ztmpfs
