#include "daemon/psi_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <filesystem>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <expected>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/unique_fd.h"
#include "daemon/mount_table.h"

namespace ztmpfs {

namespace {

constexpr std::string_view kPressureFileBegin = "some avg10=";
constexpr std::string_view kOffPath = "/dev/null";

std::string error_text(int error) { return std::generic_category().message(error); }

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

// Empty if the file begins like a pressure file.
std::string pressure_file_error(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return "cannot be read: " + error_text(errno);
  std::array<char, kPressureFileBegin.size()> begin{};
  const ssize_t count = ::read(file.get(), begin.data(), begin.size());
  if (count < 0) return "cannot be read: " + error_text(errno);
  if (std::string_view(begin.data(), size_t(count)) == kPressureFileBegin) return "";
  return "is neither a pressure file (\"some avg10=...\"), a FIFO nor a socket";
}

// The error is the rest of a sentence that starts with the path.
std::expected<PsiSourceKind, std::string> kind_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) < 0) return std::unexpected("cannot be watched: " + error_text(errno));
  if (S_ISFIFO(status.st_mode)) return PsiSourceKind::kFifo;
  if (S_ISSOCK(status.st_mode)) return PsiSourceKind::kSocket;
  if (!S_ISREG(status.st_mode))
    return std::unexpected("is neither a pressure file (\"some avg10=...\"), a FIFO nor a socket");
  if (std::string reason = pressure_file_error(path); !reason.empty()) return std::unexpected(std::move(reason));
  return PsiSourceKind::kFile;
}

bool is_same_file(const std::string& one, const std::string& other) {
  struct stat a{};
  struct stat b{};
  return ::stat(one.c_str(), &a) == 0 && ::stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

PsiSource pressure_file(const std::string& path, const PsiOption& option) {
  PsiSource source;
  source.path = path;
  source.triggers = {option.trigger(PressureLevel::kSome), option.trigger(PressureLevel::kFull)};
  return source;
}

// The path of the own group in the cgroup2 hierarchy (cgroups(7): "0::PATH").
std::optional<std::string> own_group(const std::string& cgroup_file) {
  std::ifstream lines(cgroup_file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::/")) return line.substr(3);
  return std::nullopt;
}

// The pressure file of the own cgroup; nothing if there is none, or if the group is the root, whose pressure is the
// system's. A path "/" does not tell: it is what a process sees in a cgroup namespace of its own.
std::optional<std::string> own_group_pressure(const PsiSurroundings& surroundings) {
  std::optional<std::string> group = own_group(surroundings.cgroup);
  const std::vector<MountEntry> table = parse_mount_table(read_file(surroundings.mountinfo));
  const auto mount = std::ranges::find(table, "cgroup2", &MountEntry::type);
  if (!group || mount == table.end()) return std::nullopt;
  if (mount->root != "/") {  // a part of the hierarchy is mounted: the group has to be in it
    if (*group != mount->root && !group->starts_with(mount->root + "/")) return std::nullopt;
    group->erase(0, mount->root.size());
  }
  std::string directory = mount->mountpoint + *group;
  while (directory.ends_with('/')) directory.pop_back();
  std::string file = directory + "/memory.pressure";
  struct stat status{};
  if (::stat((directory + "/cgroup.type").c_str(), &status) < 0) return std::nullopt;  // which no root group has
  if (::stat(file.c_str(), &status) < 0) return std::nullopt;
  return file;
}

// Lets the service manager's text replace the default trigger of its level; psi= is nearer to the mount and wins.
void apply_text(PsiSource& source, const std::string& text, const PsiOption& option, PsiSources& found) {
  if (source.kind != PsiSourceKind::kFile) {
    source.greeting = text;
    return;
  }
  const auto trigger = read_psi_trigger(text);
  if (!trigger) {
    found.warnings.push_back("$MEMORY_PRESSURE_WRITE holds no trigger for " + source.path + ": using the default");
    return;
  }
  if (option.names_trigger(trigger->level)) return;
  *std::ranges::find(source.triggers, trigger->level, &PsiTrigger::level) = *trigger;
}

void add_named_source(const PsiOption& option, const PsiSurroundings& surroundings, PsiSources& found) {
  if (!surroundings.watch || surroundings.watch->empty() || *surroundings.watch == kOffPath) return;
  const std::string& path = *surroundings.watch;
  if (!path.starts_with('/')) {
    found.warnings.push_back("$MEMORY_PRESSURE_WATCH is no absolute path: " + path);
    return;
  }
  const auto kind = kind_of(path);
  if (!kind) {
    found.warnings.push_back("$MEMORY_PRESSURE_WATCH: " + path + " " + kind.error());
    return;
  }
  PsiSource source = pressure_file(path, option);
  source.kind = *kind;
  if (*kind != PsiSourceKind::kFile) source.triggers.clear();
  if (surroundings.write && !surroundings.write->empty()) {
    if (const auto text = decode_base64(*surroundings.write)) {
      apply_text(source, *text, option, found);
    } else {
      found.warnings.emplace_back("$MEMORY_PRESSURE_WRITE is no Base64 text: ignored");
    }
  }
  found.sources.push_back(std::move(source));
}

PsiSources only_source(const PsiOption& option) {
  PsiSource source = pressure_file(option.path, option);
  if (const auto kind = kind_of(option.path); kind && *kind != PsiSourceKind::kFile) {
    source.kind = *kind;
    source.triggers.clear();
  }
  PsiSources found;
  found.sources.push_back(std::move(source));
  return found;
}

}  // namespace

PsiSurroundings PsiSurroundings::current() {
  PsiSurroundings surroundings;
  surroundings.watch = environment_variable("MEMORY_PRESSURE_WATCH");
  surroundings.write = environment_variable("MEMORY_PRESSURE_WRITE");
  return surroundings;
}

PsiSources find_psi_sources(const PsiOption& option, const PsiSurroundings& surroundings) {
  PsiSources found;
  if (option.is_off) return found;
  if (!option.path.empty()) return only_source(option);
  if (surroundings.watch == kOffPath && option.triggers.empty()) return found;
  add_named_source(option, surroundings, found);
  const auto is_known = [&found](const std::string& path) {
    return std::ranges::any_of(found.sources, [&](const PsiSource& known) { return is_same_file(known.path, path); });
  };
  if (!is_known(surroundings.system_pressure)) {
    found.sources.insert(found.sources.begin(), pressure_file(surroundings.system_pressure, option));
    found.sources.front().may_come_back = false;
  }
  const auto group = own_group_pressure(surroundings);
  if (group && !is_known(*group)) found.sources.push_back(pressure_file(*group, option));
  return found;
}

std::string psi_path_error(const std::string& path) {
  // They look the same, but would have memory given back because processors or disks are busy.
  constexpr std::array<std::string_view, 6> kOthers{"cpu", "io", "irq", "cpu.pressure", "io.pressure", "irq.pressure"};
  const std::string name = std::filesystem::path(path).filename().string();
  if (std::ranges::find(kOthers, name) != kOthers.end()) return "tells of another pressure than that of memory";
  const auto kind = kind_of(path);
  return kind ? "" : kind.error();
}

std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  std::string bytes;
  uint32_t bits = 0;
  unsigned bit_count = 0;
  for (const char character : text) {
    const size_t digit = kDigits.find(character);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | uint32_t(digit);
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    bytes += char(bits >> bit_count & 0xFF);
  }
  return bytes;
}

}  // namespace ztmpfs
