#include "daemon/config_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace ztmpfs {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMountpoint = "mountpoint";
constexpr std::string_view kSuffix = ".toml";
constexpr const char* kDropInSuffix = ".toml.d";
constexpr Bytes kFileSizeMax = kMiB;

[[noreturn]] void refuse_file(const std::string& path, const std::string& reason) {
  throw UsageError("cannot read the configuration " + path + ": " + reason);
}

// Nothing if there is no such file. A pipe or device in its place must not make us wait.
std::optional<std::string> read_text(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file && errno == ENOENT) return {};
  if (!file) refuse_file(path, std::strerror(errno));
  struct stat status{};
  if (::fstat(file.get(), &status) < 0) refuse_file(path, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) refuse_file(path, S_ISDIR(status.st_mode) ? "it is a directory" : "it is no file");
  if (Bytes(status.st_size) > kFileSizeMax) refuse_file(path, "it is larger than " + format_bytes(kFileSizeMax));
  std::string text(size_t(status.st_size), '\0');
  size_t length = 0;
  while (length < text.size()) {
    const ssize_t count = ::read(file.get(), text.data() + length, text.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse_file(path, std::strerror(errno));
    if (count == 0) break;
    length += size_t(count);
  }
  text.resize(length);
  return text;
}

std::string octal(int64_t number) {
  std::ostringstream text;
  text << std::oct << number;
  return text.str();
}

const char* kind_of(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array() || node.is_array_of_tables()) return "an array";
  if (node.is_floating_point()) return "a fraction";
  return "a date or time";
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// One file.
class Reader {
 public:
  Reader(const std::string& path, MountConfig& config) : path_(path), config_(config) {}

  void read(const std::string& text) {
    try {
      const toml::table table = toml::parse(text, path_);
      std::vector<std::pair<std::string, const toml::node*>> lines;
      for (const auto& [key, node] : table) lines.emplace_back(std::string(key.str()), &node);
      // The table is sorted by key; of "ro" and "rw" the later line is to win.
      std::ranges::sort(lines, {}, [](const auto& line) { return line.second->source().begin.line; });
      for (const auto& [key, node] : lines) take(key, *node);
    } catch (const toml::parse_error& error) {
      refuse_file(path_, "line " + std::to_string(error.source().begin.line) + ": " + std::string(error.description()));
    }
  }

 private:
  void take(const std::string& key, const toml::node& node) {
    Setting setting{key, std::nullopt, " in " + path_ + ":" + std::to_string(node.source().begin.line)};
    const bool is_mountpoint = key == kMountpoint;
    if (!is_mountpoint) check_option_name(setting);
    const auto* flag = node.as_boolean();
    if (flag == nullptr) setting.value = value_text(setting, node);
    if (flag != nullptr && !flag->get()) return take_back(key);
    if (!is_mountpoint) return config_.settings.push_back(std::move(setting));
    if (!setting.value || !setting.value->starts_with('/'))
      throw UsageError(name_of(setting) + " must be the absolute path of a directory");
    config_.mountpoint = std::move(setting);
  }

  void take_back(const std::string& key) {
    std::erase_if(config_.settings, [&](const Setting& setting) { return setting.key == key; });
    if (key == kMountpoint) config_.mountpoint.reset();
  }

  static std::string name_of(const Setting& setting) { return "option '" + setting.key + "'" + setting.origin; }

  static std::string value_text(const Setting& setting, const toml::node& node) {
    if (const auto* number = node.as_integer()) return number_text(setting, *number);
    const auto* text = node.as_string();
    if (text == nullptr)
      throw UsageError(name_of(setting) + " is " + kind_of(node) + ": it must be a text, a number, true or false");
    // The text goes through -o lists on its way to fusermount3 and to the server.
    if (text->get().find(',') != std::string::npos) throw UsageError(name_of(setting) + " contains a comma");
    if (std::ranges::any_of(text->get(), is_control))
      throw UsageError(name_of(setting) + " contains a control character");
    return text->get();
  }

  // "mode = 755" would be decimal in TOML, which nobody means.
  static std::string number_text(const Setting& setting, const toml::value<int64_t>& number) {
    if (setting.key != "mode") return std::to_string(number.get());
    if ((number.flags() & toml::value_flags::format_as_octal) == toml::value_flags::none)
      throw UsageError(name_of(setting) + " must be written as a string (\"1777\") or as octal (0o1777)");
    return octal(number.get());
  }

  const std::string& path_;
  MountConfig& config_;
};

void read_file(const std::string& path, MountConfig& config) {
  const auto text = read_text(path);
  if (!text) return;
  config.exists = true;
  Reader(path, config).read(*text);
}

// Hidden files are what editors leave.
std::vector<std::string> toml_files(const std::string& directory, std::error_code& error) {
  std::vector<std::string> paths;
  auto entry = fs::directory_iterator(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.ends_with(kSuffix) && name.size() > kSuffix.size() && !name.starts_with('.'))
      paths.push_back(entry->path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

MountConfig read_from(const std::string& directory, const std::string& name) {
  MountConfig config{.directory = directory, .settings = {}};
  const std::string drop_ins = directory + "/" + name + kDropInSuffix;
  read_file(directory + "/" + name + std::string(kSuffix), config);
  std::error_code error;
  const std::vector<std::string> paths = toml_files(drop_ins, error);
  if (error && error != std::errc::no_such_file_or_directory) refuse_file(drop_ins, error.message());
  for (const std::string& path : paths) read_file(path, config);
  return config;
}

std::string normal(const std::string& path) {
  fs::path full = fs::path(path).lexically_normal();
  return full.has_filename() ? full.string() : full.parent_path().string();
}

}  // namespace

MountConfig read_mount_config(const Surroundings& surroundings, const std::string& name) {
  if (!surroundings.user_config_dir.empty()) {
    MountConfig config = read_from(surroundings.user_config_dir, name);
    if (config.exists) return config;
  }
  return read_from(surroundings.config_dir, name);
}

std::vector<std::string> configs_with_mountpoint(const std::string& directory, const std::string& path,
                                                 const std::string& but_not) {
  std::error_code error;
  std::vector<std::string> names;
  for (const std::string& file : toml_files(directory, error)) {
    const std::string name = fs::path(file).stem().string();
    if (name == but_not || !is_valid_name(name)) continue;
    try {
      const MountConfig config = read_from(directory, name);
      if (config.mountpoint && normal(*config.mountpoint->value) == normal(path)) names.push_back(name);
    } catch (const UsageError&) {
      continue;
    }
  }
  return names;
}

}  // namespace ztmpfs
