#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/image.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// The program that servers are started from, by a descriptor of its file: another version may be installed at its
/// path any time, and a server that takes over after a crash must be the same as before. The newly installed one
/// becomes the program only when it was asked and could take over.
///
/// For the holder: one thread, and nothing is allocated after construction.
class Program {
 public:
  static constexpr std::chrono::seconds kPatience{10};

  /// Where this process's program was started from: the path that was given, if it is an absolute one and still leads
  /// there, else the file's.
  static std::string started_from();

  /// Holds the file that this process runs. A newer version is looked for at `path`, absolute. `image` outlives this;
  /// `server_arguments` are those of every server behind its first one. Throws std::system_error.
  Program(std::string path, const ImageFiles& image, const std::vector<std::string>& server_arguments);

  /// To be started with execveat(2) and AT_EMPTY_PATH. Not inherited by programs.
  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  /// Whether another file is installed at path() now than the one that servers are started from.
  bool is_replaced() const;
  /// Opens what is installed at path() now and asks it (probe.h). Empty: it could take over, and take_candidate() makes
  /// it the program. Else the sentence why not, valid until the next call. Waits for the answer, for `patience` at
  /// most.
  std::string_view probe(std::chrono::milliseconds patience = kPatience);
  /// After a probe() that was empty: what it asked is the program from now on. Called once more, the former one is
  /// again: for a new one that does not serve after all.
  void take_candidate();

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  std::string_view ask(Deadline deadline);
  [[noreturn]] void become_probe(int output);
  size_t read_answer(int output, Deadline deadline);
  /// As waitpid(2) has it; `is_killed` if it had to be.
  int wait_for(pid_t child, Deadline deadline, bool& is_killed);
  template <class... Values>
  std::string_view say(const char* format, Values... values);

  const std::string path_;
  UniqueFd fd_;
  UniqueFd candidate_;
  const std::array<int, 3> image_;  // inherited by the probe
  std::vector<std::string> arguments_;
  std::vector<char*> argument_pointers_;  // of arguments_, and a nullptr
  std::array<char, 1024> sentence_{};
};

}  // namespace ztmpfs
