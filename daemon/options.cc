#include "daemon/options.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/memory_usage.h"
#include "daemon/psi_option.h"
#include "daemon/psi_source.h"

namespace ztmpfs {

namespace {

constexpr Bytes kBlockSizeMin = 4 * kKiB;
constexpr Bytes kBlockSizeMax = 128 * kKiB;
constexpr uint32_t kReadersMax = 4;
constexpr Bytes kSizeFloor = 16 * kMiB;
// Heap, stacks and libraries of the two processes, and what keeps deleting possible at the cap.
constexpr Bytes kProcessesAndReserve = 12 * kMiB;
constexpr Bytes kCapacityMin = 64 * kGiB;
// Large files are read in sequence by somebody who waits: behind this they keep lz4. See decision "Two codecs".
constexpr uint64_t kDefaultCodecEnd = 16 * kMiB;
// The pool's location words reach an arena of just under 1 TiB, four times the capacity.
constexpr Bytes kSizeMax = 240 * kGiB;
constexpr size_t kNameMax = 64;

// Options under way: sizes wait for each other (hot= in percent is of size=).
struct Draft {
  Options options;
  const Surroundings& surroundings;
  std::optional<Setting> size;
  std::optional<Setting> logical;
  std::optional<Setting> hot;
};

// A sentence has one line, whatever it is about.
std::string in_one_line(std::string text) {
  std::ranges::replace_if(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

std::string describe(const Setting& setting) {
  return in_one_line("option '" + setting.key + (setting.value ? "=" + *setting.value : "") + "'" + setting.origin);
}

[[noreturn]] void refuse_name(const Setting& setting, const char* reason) {
  throw UsageError(describe({setting.key, std::nullopt, setting.origin}) + " " + reason);
}

[[noreturn]] void refuse(const Setting& setting, const std::string& reason) {
  throw UsageError(describe(setting) + " " + reason);
}

Bytes parse_size(const Setting& setting, Bytes whole) {
  const auto bytes = parse_bytes(*setting.value, whole);
  if (!bytes) refuse(setting, "is not a number of bytes such as 512M, 4G or 25%");
  return *bytes;
}

uint32_t parse_number(const Setting& setting, int base, const char* what) {
  const std::string& text = *setting.value;
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) refuse(setting, std::string("is not ") + what);
  return number;
}

void set_block(Draft& draft, const Setting& setting) {
  const Bytes bytes = parse_size(setting, 0);
  if (bytes < kBlockSizeMin || bytes > kBlockSizeMax || !std::has_single_bit(bytes))
    refuse(setting, "is not a power of two from 4K to 128K");
  draft.options.block_size = bytes;
  draft.options.block_chosen = true;
}

void set_codec(Draft& draft, const Setting& setting) {
  try {
    draft.options.codec = parse_codec(*setting.value);
    draft.options.codec_chosen = true;
  } catch (const std::invalid_argument& error) {
    refuse(setting, std::string("does not do: ") + error.what());
  }
}

void set_mode(Draft& draft, const Setting& setting) {
  draft.options.mode = parse_number(setting, 8, "an octal mode such as 1777");
  if (draft.options.mode > 07777) refuse(setting, "is not an octal mode such as 1777");
}

void set_owner(Draft& draft, const Setting& setting) {
  const uint32_t number = parse_number(setting, 10, "a number of a user or group");
  if (number == UINT32_MAX) refuse(setting, "is not a number of a user or group");  // chown(2): "do not change"
  (setting.key == "uid" ? draft.options.uid : draft.options.gid) = number;
}

void set_psi(Draft& draft, const Setting& setting) {
  if (const std::string reason = psi_option_error(*setting.value); !reason.empty()) refuse(setting, reason);
  draft.options.psi = *setting.value;
}

constexpr std::chrono::seconds kHangMin{1};
constexpr std::chrono::hours kHangMax{24};

void set_hang(Draft& draft, const Setting& setting) {
  std::string_view text = *setting.value;
  if (text == "off") {
    draft.options.hang = {};
    return;
  }
  if (text.ends_with('s')) text.remove_suffix(1);
  uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || std::chrono::seconds(seconds) < kHangMin ||
      std::chrono::seconds(seconds) > kHangMax)
    refuse(setting, "is not a time from 1s to 86400s, or off");
  draft.options.hang = std::chrono::seconds(seconds);
}

void set_source(Draft& draft, const Setting& setting) {
  if (setting.value->empty()) refuse(setting, "is empty");
  draft.options.source = *setting.value;
}

void set_subtype(Draft& draft, const Setting& setting) {
  if (!is_valid_name(*setting.value)) refuse(setting, "is not a word of letters, digits, '.', '_' and '-'");
  draft.options.subtype = *setting.value;
}

struct ValueOption {
  std::string_view key;
  void (*apply)(Draft&, const Setting&);
};

constexpr std::array kValueOptions{
    ValueOption{"size", [](Draft& draft, const Setting& setting) { draft.size = setting; }},
    ValueOption{"logical", [](Draft& draft, const Setting& setting) { draft.logical = setting; }},
    ValueOption{"hot", [](Draft& draft, const Setting& setting) { draft.hot = setting; }},
    ValueOption{"block", set_block},
    ValueOption{"codec", set_codec},
    ValueOption{"mode", set_mode},
    ValueOption{"uid", set_owner},
    ValueOption{"gid", set_owner},
    ValueOption{"psi", set_psi},
    ValueOption{"hang", set_hang},
    ValueOption{"fsname", set_source},
    ValueOption{"subtype", set_subtype},
};

constexpr std::array<std::string_view, 3> kForRoot{"suid", "dev", "nosymfollow"};
constexpr std::array<std::string_view, 3> kLiveOptions{"size", "hot", "psi"};

// Options without a value that are ours, and not those of mount_flags.h.
struct PlainOption {
  std::string_view key;
  bool Options::* member;
};

constexpr std::array kPlainOptions{
    PlainOption{"allow_other", &Options::allow_other},
    PlainOption{"default_permissions", &Options::default_permissions},
    PlainOption{"xattr", &Options::xattr},
    PlainOption{"acl", &Options::acl},
    PlainOption{"keep", &Options::keep},
};

constexpr std::array<std::string_view, 4> kNotInThisVersion{"transport", "cold_codec", "spill", "dedup"};

void apply_plain(Draft& draft, const Setting& setting) {
  const auto* option = std::ranges::find(kPlainOptions, setting.key, &PlainOption::key);
  if (option != kPlainOptions.end()) {
    draft.options.*option->member = true;
  } else if (!apply_mount_flag(setting.key, draft.options.mount_flags)) {
    refuse_name(setting, "is unknown");
  }
  if (setting.value) refuse(setting, "takes no value");
  // fusermount3 cannot do these; what else it cannot do has no effect anyway.
  if (draft.surroundings.uid != 0 && std::ranges::find(kForRoot, setting.key) != kForRoot.end())
    refuse(setting, "is for root only");
}

void apply_setting(Draft& draft, const Setting& setting) {
  if (is_ignored_mount_option(setting.key)) return;
  if (std::ranges::find(kNotInThisVersion, setting.key) != kNotInThisVersion.end())
    refuse_name(setting, "is not in this version of ztmpfs yet");
  const auto* option = std::ranges::find(kValueOptions, setting.key, &ValueOption::key);
  if (option == kValueOptions.end()) return apply_plain(draft, setting);
  if (!setting.value) refuse(setting, "needs a value");
  option->apply(draft, setting);
}

struct SizeTerms {
  Bytes max;
  std::string holder;      // what cannot hold more than `max`
  std::string unless_set;  // what the size is without size=
};

// What the options hold already is what they are without size=, logical= and hot=.
void resolve_sizes(Draft& draft, const SizeTerms& terms) {
  Options& options = draft.options;
  const Bytes ram = draft.surroundings.usable_ram;
  if (draft.size) options.size = parse_size(*draft.size, ram);
  if (draft.size && options.size > terms.max)
    refuse(*draft.size, "is more than " + format_bytes(terms.max) + ", the most " + terms.holder + " can hold");
  if (draft.logical) options.logical = parse_size(*draft.logical, ram);
  if (draft.hot) options.hot = parse_size(*draft.hot, options.size);
  if (draft.hot && options.hot == 0) refuse(*draft.hot, "leaves no room for blocks being written");
  const Bytes least = size_min(options);
  if (options.size >= least) return;
  throw UsageError((draft.size ? describe(*draft.size) : terms.unless_set) +
                   " is too small: with these options it takes at least " + format_bytes(least));
}

// The XDG Base Directory Specification. An environment that a set-user-ID program was given is not the user's word.
std::string own_config_dir() {
  if (::geteuid() == 0) return {};
  const auto absolute = [](const char* name) {
    const char* value = ::secure_getenv(name);
    return value != nullptr && value[0] == '/' ? std::string(value) : std::string();
  };
  if (const std::string config = absolute("XDG_CONFIG_HOME"); !config.empty()) return config + "/ztmpfs";
  const std::string home = absolute("HOME");
  return home.empty() ? "" : home + "/.config/ztmpfs";
}

}  // namespace

Surroundings Surroundings::current() {
  cpu_set_t set;
  const bool known = ::sched_getaffinity(0, sizeof(set), &set) == 0;
  return {.user_config_dir = own_config_dir(),
          .usable_ram = ztmpfs::usable_ram(),
          .cpus = known ? uint32_t(std::max(CPU_COUNT(&set), 1)) : 1,
          .uid = ::geteuid(),
          .gid = ::getegid()};
}

Options resolve_options(std::string name, std::string mountpoint, const std::vector<Setting>& settings,
                        const Surroundings& surroundings) {
  if (!is_valid_name(name))
    throw UsageError("the name '" + name + "' is not made of 1 to 64 letters, digits, '.', '_' and '-'");
  if (mountpoint.empty()) throw UsageError("the mount point is empty");
  Draft draft{.options = {}, .surroundings = surroundings, .size = {}, .logical = {}, .hot = {}};
  draft.options.source = name;
  draft.options.name = std::move(name);
  draft.options.mountpoint = std::move(mountpoint);
  draft.options.size = std::min(surroundings.usable_ram / 2, kSizeMax);
  draft.options.readers = std::min(surroundings.cpus, kReadersMax);
  draft.options.uid = surroundings.uid;
  draft.options.gid = surroundings.gid;
  for (const Setting& setting : settings) apply_setting(draft, setting);
  resolve_sizes(draft,
                {.max = kSizeMax, .holder = "this version", .unless_set = "the default size of half the memory"});
  // Only root passes every check anyway; everybody else needs the kernel to check, for we never see an open(2). And
  // what were ACLs that nobody checks?
  if (surroundings.uid != 0 || draft.options.allow_other || draft.options.acl) draft.options.default_permissions = true;
  if (draft.options.acl) draft.options.xattr = true;
  return std::move(draft.options);
}

void check_option_name(const Setting& setting) {
  if (std::ranges::find(kNotInThisVersion, setting.key) != kNotInThisVersion.end())
    refuse_name(setting, "is not in this version of ztmpfs yet");
  MountFlags ignored = 0;
  const bool is_known = std::ranges::find(kValueOptions, setting.key, &ValueOption::key) != kValueOptions.end() ||
                        std::ranges::find(kPlainOptions, setting.key, &PlainOption::key) != kPlainOptions.end() ||
                        apply_mount_flag(setting.key, ignored) || is_ignored_mount_option(setting.key);
  if (!is_known) refuse_name(setting, "is unknown");
}

bool is_live_option(std::string_view key) { return std::ranges::find(kLiveOptions, key) != kLiveOptions.end(); }

Options change_options(const Options& options, const std::vector<Setting>& settings, Bytes size_max,
                       const Surroundings& surroundings) {
  Draft draft{.options = options, .surroundings = surroundings, .size = {}, .logical = {}, .hot = {}};
  for (const Setting& setting : settings) {
    if (!is_live_option(setting.key))
      refuse(setting, "cannot be changed in a mount that is in use: size, hot and psi can");
    if (setting.value && setting.value->find(',') != std::string::npos) refuse(setting, "contains a comma");
    apply_setting(draft, setting);
  }
  resolve_sizes(draft,
                {.max = size_max, .holder = "this mount", .unless_set = "the size of " + format_bytes(options.size)});
  return std::move(draft.options);
}

std::string format_live_options(const Options& options) {
  std::string text = "size=" + std::to_string(options.size);
  if (options.hot != 0) text += ",hot=" + std::to_string(options.hot);
  if (!options.psi.empty()) text += ",psi=" + options.psi;
  return text;
}

std::string format_options(const Options& options) {
  std::string codec = ",codec=none";
  if (options.codec.id == CodecId::kLz4) codec = ",codec=lz4";
  if (options.codec.id == CodecId::kZstd) codec = ",codec=zstd:" + std::to_string(options.codec.level);
  if (!options.codec_chosen) codec.clear();
  std::array<char, 16> mode{};
  *std::to_chars(mode.data(), mode.data() + mode.size() - 1, options.mode, 8).ptr = '\0';
  std::string text = format_live_options(options) + ",block=" + std::to_string(options.block_size) + codec +
                     ",uid=" + std::to_string(options.uid) + ",gid=" + std::to_string(options.gid) +
                     ",mode=" + mode.data() + ",fsname=" + options.source + ",subtype=" + options.subtype;
  text += options.hang.count() == 0
              ? ",hang=off"
              : ",hang=" + std::to_string(duration_cast<std::chrono::seconds>(options.hang).count()) + "s";
  if (options.logical != 0) text += ",logical=" + std::to_string(options.logical);
  for (const PlainOption& option : kPlainOptions)
    if (options.*option.member) text.append(",").append(option.key);
  for (const std::string& flag : mount_flag_names(options.mount_flags)) text += "," + flag;
  return text;
}

std::vector<std::string> fixed_settings_only_of(const Options& options, const Options& others) {
  const auto text_of = [](const Setting& setting) { return setting.key + (setting.value ? "=" + *setting.value : ""); };
  const std::vector<Setting> known = split_settings(format_options(others));
  std::vector<std::string> found;
  for (const Setting& setting : split_settings(format_options(options)))
    if (!is_live_option(setting.key) && std::ranges::find(known, text_of(setting), text_of) == known.end())
      found.push_back(text_of(setting));
  return found;
}

void check_psi_path(const Options& options) {
  if (!options.psi.starts_with('/')) return;
  if (const std::string reason = psi_path_error(options.psi); !reason.empty())
    throw UsageError("option 'psi=" + options.psi + "' " + reason);
}

std::vector<std::string_view> option_names() {
  std::vector<std::string_view> names;
  for (const PlainOption& option : kPlainOptions) names.push_back(option.key);
  for (const ValueOption& option : kValueOptions) names.push_back(option.key);
  names.insert(names.end(), kNotInThisVersion.begin(), kNotInThisVersion.end());
  return names;
}

std::vector<Setting> split_settings(const std::string& text) {
  std::vector<Setting> settings;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const size_t equals = item.find('=');
    if (equals != std::string::npos)
      settings.push_back({item.substr(0, equals), item.substr(equals + 1), ""});
    else if (!item.empty())  // mount(8) leaves empty items
      settings.push_back({item, std::nullopt, ""});
    begin = end + 1;
  }
  return settings;
}

bool is_valid_name(const std::string& name) {
  const auto is_allowed = [](unsigned char c) {
    return (c < 0x80 && std::isalnum(c)) || c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, is_allowed);
}

Bytes size_min(const Options& options) {
  const Bytes buffers = options.readers * image_geometry(options).request_buffer_size;
  return std::max(kSizeFloor, kProcessesAndReserve + buffers + options.hot);
}

ImageGeometry image_geometry(const Options& options) {
  ImageGeometry geometry;
  // The arena consists of chunks of 1 MiB.
  geometry.capacity = std::clamp(round_up(4 * options.size, kMiB), kCapacityMin, kSizeMax);
  geometry.block_size = options.block_size;
  geometry.request_slots = options.readers;
  return geometry;
}

VolumeOptions volume_options(const Options& options) {
  VolumeOptions volume;
  volume.size = options.size;
  volume.logical = options.logical;
  volume.hot = options.hot;
  volume.codec = options.codec;
  volume.codec_end = options.codec_chosen ? 0 : kDefaultCodecEnd;
  volume.workers = std::max(options.readers / 2, 1U);
  volume.root = {.root_uid = options.uid, .root_gid = options.gid, .root_mode = options.mode, .acl = options.acl};
  return volume;
}

}  // namespace ztmpfs
