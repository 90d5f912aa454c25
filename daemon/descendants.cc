#include "daemon/descendants.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#include "base/unique_fd.h"

namespace ztmpfs {

namespace {

constexpr std::chrono::milliseconds kPause{5};

struct Process {
  pid_t pid;
  pid_t parent;
  bool has_ended;  // and nobody has waited for it
};

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// proc_pid_stat(5): "PID (NAME) STATE PPID ..."; a name may contain parentheses.
std::optional<Process> read_process(const std::string& proc, const char* entry) {
  const UniqueFd file(::open((proc + "/" + entry + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> space;
  const ssize_t length = ::read(file.get(), space.data(), space.size());  // fails if it has gone meanwhile
  const std::string text(space.data(), size_t(std::max<ssize_t>(length, 0)));
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  char state = 0;
  pid_t parent = 0;
  if (!(fields >> state >> parent)) return std::nullopt;
  return Process{pid_t(std::stol(entry)), parent, state == 'Z' || state == 'X'};
}

std::vector<Process> read_processes(const std::string& proc) {
  std::vector<Process> processes;
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(proc.c_str()));
  if (!directory) return processes;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    if (const auto process = read_process(proc, entry->d_name)) processes.push_back(*process);
  }
  return processes;
}

}  // namespace

std::vector<pid_t> find_descendants(pid_t ancestor, const std::vector<pid_t>& spared, const std::string& proc) {
  const std::vector<Process> processes = read_processes(proc);
  std::vector<pid_t> found;
  std::vector<pid_t> parents{ancestor};
  // What has ended is looked through, too: its children may not have got their new parent yet.
  for (size_t i = 0; i < parents.size(); ++i) {
    for (const Process& process : processes) {
      if (process.parent != parents[i] || std::ranges::find(spared, process.pid) != spared.end()) continue;
      parents.push_back(process.pid);
      if (!process.has_ended) found.push_back(process.pid);
    }
  }
  return found;
}

std::vector<pid_t> end_descendants(const std::vector<pid_t>& spared, std::chrono::milliseconds grace,
                                   std::chrono::milliseconds patience, const std::function<void()>& reap) {
  const auto start = std::chrono::steady_clock::now();
  std::set<pid_t> told;
  while (true) {
    reap();
    std::vector<pid_t> left = find_descendants(::getpid(), spared);
    const auto waited = std::chrono::steady_clock::now() - start;
    if (left.empty() || waited >= patience) return left;
    for (const pid_t pid : left) {
      if (waited >= grace) {
        ::kill(pid, SIGKILL);
      } else if (told.insert(pid).second) {
        ::kill(pid, SIGTERM);
        ::kill(pid, SIGCONT);
      }
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace ztmpfs
