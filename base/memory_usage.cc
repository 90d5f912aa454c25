#include "base/memory_usage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

namespace ztmpfs {

namespace {

constexpr const char* kCgroup1Root = "/sys/fs/cgroup/memory";
constexpr const char* kCgroup2Root = "/sys/fs/cgroup";

std::optional<Bytes> read_number(const std::string& path) {
  std::ifstream file(path);
  Bytes number = 0;
  if (!(file >> number)) return std::nullopt;  // absent, or "max"
  return number;
}

// The tightest limit on the way from `group` up to the root of the hierarchy.
Bytes group_limit(const std::string& root, std::string group, const char* file, Bytes limit) {
  while (true) {
    if (auto number = read_number(root + group + "/" + file)) limit = std::min(limit, *number);
    const auto slash = group.rfind('/');
    if (slash == std::string::npos) return limit;
    group.resize(slash);
  }
}

}  // namespace

Bytes anonymous_memory(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    Bytes kibibytes = 0;
    status >> kibibytes;
    return kibibytes * kKiB;
  }
  return 0;
}

uint64_t oom_kills() {
  constexpr std::string_view kKey = "\noom_kill ";
  std::array<char, 16 * 1024> text;
  const int file = ::open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  size_t length = 0;
  for (ssize_t count = 0; (count = ::read(file, text.data() + length, text.size() - length)) > 0;)
    length += size_t(count);
  ::close(file);
  const std::string_view all(text.data(), length);
  const size_t at = all.find(kKey);
  uint64_t number = 0;
  if (at != std::string_view::npos) std::from_chars(text.data() + at + kKey.size(), text.data() + length, number);
  return number;
}

Bytes allocated_memory(int memfd) {
  struct stat status{};
  return ::fstat(memfd, &status) == 0 ? Bytes(status.st_blocks) * 512 : 0;
}

Bytes usable_ram() {
  Bytes limit = Bytes(::sysconf(_SC_PHYS_PAGES)) * kPageSize;
  std::ifstream groups("/proc/self/cgroup");  // cgroups(7): "ID:CONTROLLERS:PATH"
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    if (controllers.empty()) limit = group_limit(kCgroup2Root, path, "memory.max", limit);
    if (controllers == "memory") limit = group_limit(kCgroup1Root, path, "memory.limit_in_bytes", limit);
  }
  return limit;
}

bool is_swap_in_use() {
  struct sysinfo info{};
  return ::sysinfo(&info) == 0 && info.freeswap < info.totalswap;
}

}  // namespace ztmpfs
