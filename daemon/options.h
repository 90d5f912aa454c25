#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/image.h"
#include "compress/codec_set.h"
#include "daemon/mount_flags.h"
#include "fs/volume.h"

namespace ztmpfs {

/// The user asked for something that is not possible: one sentence that names it; exit code 2.
class UsageError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// What the options are resolved against; tests give their own.
struct Surroundings {
  std::string config_dir = "/etc/ztmpfs";
  std::string user_config_dir{};  ///< of an ordinary user; asked first; empty: there is none
  Bytes usable_ram = 0;
  uint32_t cpus = 1;
  uid_t uid = 0;
  gid_t gid = 0;

  /// Those of this process.
  static Surroundings current();
};

/// One option as it was written, not checked yet.
struct Setting {
  std::string key;
  std::optional<std::string> value;
  std::string origin;  ///< " in FILE" for the configuration file, empty for the command line
};

/// What a mount is to be: checked, and resolved to plain numbers, so that it means the same in every process.
struct Options {
  std::string name;
  std::string mountpoint;  ///< absolute once the launcher has looked at it
  bool foreground = false;
  Bytes size = 0;
  Bytes logical = 0;  ///< 0 is none
  Bytes hot = 0;      ///< 0 leaves the choice to the volume
  Bytes block_size = 32 * kKiB;
  bool block_chosen = false;  ///< by block=
  CodecChoice codec{CodecId::kZstd, 3};
  bool codec_chosen = false;  ///< by codec=: then it is for all of each file
  uint32_t readers = 1;       ///< threads that serve the kernel, one request slot each
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mode = 01777;
  bool allow_other = false;
  bool default_permissions = false;
  bool xattr = false;
  bool acl = false;
  bool keep = false;                       ///< contents outlive umount
  std::chrono::milliseconds hang{30'000};  ///< what may take so long is hung; 0: nothing is
  std::string psi;                         ///< what pressure to watch, for parse_psi_option(); empty is the default
  std::string source;                      ///< what findmnt shows as the source: NAME, or fsname=
  std::string subtype = "ztmpfs";
  /// Where the mount's configuration is looked for when it is to be read again; empty: there is none.
  std::string config_dir;
  std::string given;              ///< what -o said, which wins over the configuration
  std::string mountpoint_origin;  ///< " in FILE:LINE" if the configuration says where it is mounted
  MountFlags mount_flags = default_mount_flags();
};

/// Options from settings, in order: a later one wins. Throws UsageError.
Options resolve_options(std::string name, std::string mountpoint, const std::vector<Setting>& settings,
                        const Surroundings& surroundings);

/// The options after a change of a mount in use: size, hot and psi can be changed. `size_max` is what the mount was
/// made for. A hot limit that was not given goes on following from the size. Throws UsageError.
Options change_options(const Options& options, const std::vector<Setting>& settings, Bytes size_max,
                       const Surroundings& surroundings);

/// Throws UsageError if there is no option of this name.
void check_option_name(const Setting& setting);

/// Whether change_options() can change it.
bool is_live_option(std::string_view key);

/// Those that change_options() can change, in the form of format_options().
std::string format_live_options(const Options& options);

/// "size=...,block=...": the value for -o from which resolve_options() makes the same options on any machine.
std::string format_options(const Options& options);

/// Those that change_options() cannot change, in the form of format_options(), that `options` has and `others` has not.
std::vector<std::string> fixed_settings_only_of(const Options& options, const Options& others);

/// Throws UsageError if psi= names a path that does not tell of memory pressure now.
void check_psi_path(const Options& options);

/// The options that take a value or are ours alone; those of mount(8) are in mount_flags.h.
std::vector<std::string_view> option_names();

/// Cuts "a,b=c" into settings.
std::vector<Setting> split_settings(const std::string& text);

/// True for [A-Za-z0-9._-]{1,64}.
bool is_valid_name(const std::string& name);

/// The smallest size= that leaves room for the hot blocks, the request buffers and the processes themselves.
Bytes size_min(const Options& options);

ImageGeometry image_geometry(const Options& options);
VolumeOptions volume_options(const Options& options);

}  // namespace ztmpfs
