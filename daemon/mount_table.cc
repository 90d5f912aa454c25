#include "daemon/mount_table.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <ranges>
#include <sstream>
#include <stdexcept>

namespace ztmpfs {

namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// The kernel writes space, tab, newline and backslash as "\040" and so on.
std::string unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += char((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<MountEntry> parse_mount_table(std::string_view text) {
  std::vector<MountEntry> table;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string mount_id, parent_id, device, root, mountpoint, options, word;
    if (!(fields >> mount_id >> parent_id >> device >> root >> mountpoint >> options)) continue;
    while (fields >> word && word != "-") {
    }
    std::string type, source, super_options;
    if (!(fields >> type >> source)) continue;
    fields >> super_options;
    table.push_back({device, unescape(mountpoint), unescape(type), unescape(source), unescape(root),
                     options + "," + super_options});
  }
  return table;
}

std::vector<MountEntry> read_mount_table() {
  std::ifstream file("/proc/self/mountinfo");
  if (!file) throw std::runtime_error("cannot read /proc/self/mountinfo: is /proc mounted?");
  return parse_mount_table(std::string(std::istreambuf_iterator<char>(file), {}));
}

const MountEntry* find_mount(const std::vector<MountEntry>& table, std::string_view mountpoint) {
  for (const MountEntry& entry : std::views::reverse(table))
    if (entry.mountpoint == mountpoint) return &entry;
  return nullptr;
}

}  // namespace ztmpfs
