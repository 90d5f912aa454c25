#include "daemon/mount_users.h"

#include <dirent.h>
#include <linux/limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <memory>
#include <string_view>

namespace ztmpfs {

namespace {

constexpr size_t kUsersNamed = 8;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<std::string> entry_names(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(path.c_str()));
  if (!directory) return names;
  while (const dirent* entry = ::readdir(directory.get())) names.emplace_back(entry->d_name);
  return names;
}

bool is_at_or_below(std::string_view path, std::string_view mountpoint) {
  if (!path.starts_with(mountpoint)) return false;
  return path.size() == mountpoint.size() || path[mountpoint.size()] == '/' || mountpoint == "/";
}

bool link_leads_below(const std::string& link, std::string_view mountpoint) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = ::readlink(link.c_str(), target.data(), target.size());
  return length > 0 && is_at_or_below({target.data(), size_t(length)}, mountpoint);
}

bool maps_lie_below(const std::string& maps, std::string_view mountpoint) {
  std::ifstream file(maps);
  for (std::string line; std::getline(file, line);) {
    // The path is the last field, and the only one that contains a slash.
    const size_t slash = line.find('/');
    if (slash != std::string::npos && is_at_or_below(std::string_view(line).substr(slash), mountpoint)) return true;
  }
  return false;
}

bool uses_mount(const std::string& process, std::string_view mountpoint) {
  for (const char* link : {"/cwd", "/root", "/exe"})
    if (link_leads_below(process + link, mountpoint)) return true;
  for (const std::string& fd : entry_names(process + "/fd"))
    if (link_leads_below(process + "/fd/" + fd, mountpoint)) return true;
  return maps_lie_below(process + "/maps", mountpoint);
}

}  // namespace

std::vector<MountUser> find_mount_users(const std::string& mountpoint, const std::string& proc) {
  std::vector<MountUser> users;
  for (const std::string& pid : entry_names(proc)) {
    if (!std::ranges::all_of(pid, [](unsigned char c) { return std::isdigit(c); })) continue;
    const std::string process = proc + "/" + pid;
    if (!uses_mount(process, mountpoint)) continue;
    std::string name;
    std::ifstream comm(process + "/comm");
    std::getline(comm, name);
    users.push_back({pid_t(std::stol(pid)), name});
  }
  std::ranges::sort(users, {}, &MountUser::pid);
  return users;
}

std::string describe_mount_users(const std::vector<MountUser>& users) {
  if (users.empty()) return "a user that /proc does not show";
  std::string text;
  for (size_t i = 0; i < std::min(users.size(), kUsersNamed); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(users[i].pid) + " (" + users[i].name + ")";
  if (users.size() > kUsersNamed) text += " and " + std::to_string(users.size() - kUsersNamed) + " more";
  return text;
}

}  // namespace ztmpfs
