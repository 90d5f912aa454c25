#include "daemon/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "daemon/config_file.h"
#include "daemon/remount.h"

namespace ztmpfs {

namespace {

constexpr const char* kDescription =
    "ztmpfs: tmpfs, compressed. Mounts a RAM disk on MOUNTPOINT that holds two to three times what fits in the memory "
    "it\n"
    "uses. umount MOUNTPOINT (or fusermount3 -u MOUNTPOINT) ends it and gives everything back.";

constexpr const char* kOptionsHelp =
    R"(Options for -o (also, one per line, in /etc/ztmpfs/NAME.toml; sizes take K, M, G, T and %):
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

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  CLI::App app(kDescription, "ztmpfs");
  app.footer(kOptionsHelp);
  app.set_version_flag("-V,--version", std::string("ztmpfs ") + ZTMPFS_VERSION);
  bool foreground = false;
  std::vector<std::string> option_lists;
  std::string name;
  std::string mountpoint;
  app.add_flag("-f,--foreground", foreground, "Stay in the foreground, log to stderr");
  app.add_option("-o", option_lists, "Options of the mount, separated by commas; may be given several times")
      ->type_name("OPTION[,OPTION...]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
  app.add_option("NAME", name, "Name of the mount, for ztmpfsctl")->required();
  app.add_option("MOUNTPOINT", mountpoint, "Directory to mount on")->required();
  try {
    app.parse(reversed(arguments));
  } catch (const CLI::CallForHelp&) {
    return {.options = {}, .text_to_print = app.help()};
  } catch (const CLI::CallForVersion& version) {
    return {.options = {}, .text_to_print = std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    throw UsageError(one_line(error.what()) + " (see ztmpfs --help)");
  }
  std::vector<Setting> given;
  for (const std::string& list : option_lists)
    for (Setting& setting : split_settings(list)) given.push_back(std::move(setting));
  if (is_remount(given)) {
    CommandLine command_line{.options = {}, .text_to_print = "", .remount = std::move(given)};
    command_line.options.mountpoint = mountpoint;
    return command_line;
  }
  std::vector<Setting> settings;
  if (is_valid_name(name) && !surroundings.config_dir.empty())
    settings = read_config_file(surroundings.config_dir, name);
  settings.insert(settings.end(), given.begin(), given.end());
  Options options = resolve_options(name, mountpoint, settings, surroundings);
  options.foreground = foreground;
  return {.options = std::move(options), .text_to_print = ""};
}

std::vector<std::string> server_arguments(const Options& options) {
  std::vector<std::string> arguments{"-o", format_options(options)};
  if (options.foreground) arguments.emplace_back("-f");
  arguments.insert(arguments.end(), {"--", options.name, options.mountpoint});
  return arguments;
}

}  // namespace ztmpfs
