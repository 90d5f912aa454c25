#include "daemon/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/exec_program.h"
#include "daemon/server_descriptors.h"

namespace ztmpfs {

namespace {

constexpr const char* kOwnFile = "/proc/self/exe";
constexpr int kExitUsage = 2;
constexpr std::chrono::milliseconds kPollPause{5};

UniqueFd open_program(const char* path) { return UniqueFd(::open(path, O_PATH | O_CLOEXEC)); }

bool is_same_file(const char* one, const char* other) {
  struct stat first{};
  struct stat second{};
  return ::stat(one, &first) == 0 && ::stat(other, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

int milliseconds_until(std::chrono::steady_clock::time_point deadline) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return int(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

}  // namespace

std::string Program::started_from() {
  const auto* given = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  // A program that was started by a descriptor has a path below /dev or /proc there.
  const bool is_path = given != nullptr && given[0] == '/' && std::strncmp(given, "/dev/", 5) != 0 &&
                       std::strncmp(given, "/proc/", 6) != 0;
  if (is_path && is_same_file(given, kOwnFile)) return given;
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink(kOwnFile, path.data(), path.size());
  if (length < 0) throw std::system_error(errno, std::generic_category(), "cannot find this program's file");
  std::string text(path.data(), size_t(length));
  constexpr std::string_view kReplaced = " (deleted)";  // proc(5)
  if (text.ends_with(kReplaced)) text.resize(text.size() - kReplaced.size());
  return text;
}

Program::Program(std::string path, const ImageFiles& image, const std::vector<std::string>& server_arguments)
    : path_(std::move(path)),
      fd_(open_program(kOwnFile)),
      image_{image.meta.get(), image.data.get(), image.buffers.get()},
      arguments_{"ztmpfs", format_image_argument(kProbeArgument, image)} {
  if (!fd_) throw std::system_error(errno, std::generic_category(), "cannot open this program's file");
  arguments_.insert(arguments_.end(), server_arguments.begin(), server_arguments.end());
  for (std::string& argument : arguments_) argument_pointers_.push_back(argument.data());
  argument_pointers_.push_back(nullptr);
}

bool Program::is_replaced() const {
  struct stat installed{};
  struct stat running{};
  return ::stat(path_.c_str(), &installed) == 0 && ::fstat(fd_.get(), &running) == 0 &&
         (installed.st_dev != running.st_dev || installed.st_ino != running.st_ino);
}

std::string_view Program::probe(std::chrono::milliseconds patience) {
  candidate_ = open_program(path_.c_str());
  if (!candidate_) return say("%s cannot be opened: %s", path_.c_str(), ::strerrordesc_np(errno));
  const std::string_view sentence = ask(std::chrono::steady_clock::now() + patience);
  if (!sentence.empty()) candidate_.reset();
  return sentence;
}

void Program::take_candidate() {
  if (candidate_) std::swap(fd_, candidate_);
}

template <class... Values>
std::string_view Program::say(const char* format, Values... values) {
  const int length = std::snprintf(sentence_.data(), sentence_.size(), format, values...);
  return {sentence_.data(), std::min(size_t(std::max(length, 0)), sentence_.size() - 1)};
}

std::string_view Program::ask(Deadline deadline) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return say("cannot make a pipe: %s", ::strerrordesc_np(errno));
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return say("cannot start %s: %s", path_.c_str(), ::strerrordesc_np(errno));
  if (child == 0) become_probe(writer.get());
  writer.reset();
  const size_t length = read_answer(reader.get(), deadline);
  bool is_killed = false;
  const int status = wait_for(child, deadline, is_killed);
  if (is_killed) return say("%s has not said in time whether it could take over", path_.c_str());
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE && length > 0) return {sentence_.data(), length};
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitUsage)
    return say("%s is too old to be asked whether it could take over", path_.c_str());
  if (WIFSIGNALED(status))
    return say("%s was ended by signal %d when asked whether it could take over", path_.c_str(), WTERMSIG(status));
  return say("%s ended with exit code %d when asked whether it could take over", path_.c_str(), WEXITSTATUS(status));
}

// In the child. What it says of itself goes where ours does, but for the answer.
void Program::become_probe(int output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(output, STDOUT_FILENO);
  exec_program(candidate_.get(), argument_pointers_.data(), image_);
  const std::string_view sentence = say("%s cannot be started: %s", path_.c_str(), ::strerrordesc_np(errno));
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, sentence.data(), sentence.size());
  ::_exit(EXIT_FAILURE);
}

// Up to the end of the output or the deadline, the first line of it.
size_t Program::read_answer(int output, Deadline deadline) {
  size_t length = 0;
  std::array<char, 256> rest{};
  while (const int left = milliseconds_until(deadline)) {
    pollfd source{output, POLLIN, 0};
    const int ready = ::poll(&source, 1, left);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    const bool is_full = length == sentence_.size();
    const ssize_t count = is_full ? ::read(output, rest.data(), rest.size())
                                  : ::read(output, sentence_.data() + length, sentence_.size() - length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    if (!is_full) length += size_t(count);
  }
  return std::min(length, std::string_view(sentence_.data(), length).find('\n'));
}

int Program::wait_for(pid_t child, Deadline deadline, bool& is_killed) {
  int status = 0;
  while (true) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) return W_EXITCODE(EXIT_FAILURE, 0);  // nobody knows
    if (!is_killed && std::chrono::steady_clock::now() >= deadline) {
      is_killed = true;
      ::kill(child, SIGKILL);
    }
    std::this_thread::sleep_for(kPollPause);
  }
}

}  // namespace ztmpfs
