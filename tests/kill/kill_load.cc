// Writers that know what must come out, while the server of the file system dies; see usage().
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/kill/lock_holder.h"
#include "tests/kill/writer.h"

namespace ztmpfs {
namespace {

struct Arguments {
  std::string directory;
  uint64_t seed = 1;
  uint64_t operations = UINT64_MAX;
  unsigned writers = 3;
  unsigned patience = 20;
  bool walks = true;
};

[[noreturn]] void usage(int status) {
  std::fputs(
      "usage: kill_load [--seed N] [--writers N] [--operations N] [--patience SECONDS] [--no-walks] DIRECTORY\n"
      "Works in DIRECTORY until standard input ends (or so many operations per writer), then compares everything,\n"
      "removes everything and says what was done. Exit status: 0 all as it must be, 1 a difference, 2 wrong usage,\n"
      "3 an operation that took longer than SECONDS. --no-walks is for tmpfs, whose readdir leaves names out when "
      "others\n"
      "are removed meanwhile.\n",
      status == 0 ? stdout : stderr);
  std::exit(status);
}

uint64_t number(const char* text) {
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != '\0') usage(2);
  return value;
}

Arguments parse(int count, char** values) {
  static constexpr option kOptions[] = {{"seed", 1, nullptr, 's'},     {"writers", 1, nullptr, 'w'},
                                        {"patience", 1, nullptr, 'p'}, {"operations", 1, nullptr, 'n'},
                                        {"no-walks", 0, nullptr, 'W'}, {"help", 0, nullptr, 'h'},
                                        {nullptr, 0, nullptr, 0}};
  Arguments arguments;
  for (int letter = 0; (letter = ::getopt_long(count, values, "h", kOptions, nullptr)) != -1;) {
    switch (letter) {
      case 's': arguments.seed = number(::optarg); break;
      case 'w': arguments.writers = unsigned(number(::optarg)); break;
      case 'p': arguments.patience = unsigned(number(::optarg)); break;
      case 'W': arguments.walks = false; break;
      case 'n': arguments.operations = number(::optarg); break;
      default: usage(letter == 'h' ? 0 : 2);
    }
  }
  if (::optind + 1 != count) usage(2);
  arguments.directory = values[::optind];
  return arguments;
}

int64_t monotonic_milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// All writers, and who watches them.
class Load {
 public:
  explicit Load(const Arguments& arguments) : arguments_(arguments), features_(prepare(arguments)) {
    for (unsigned i = 0; i < arguments.writers; ++i)
      writers_.push_back(std::make_unique<Writer>(arguments.directory, i, arguments.seed, features_));
  }

  bool run(LockHolder& lock_holder);

 private:
  static Features prepare(const Arguments& arguments);
  void write(Writer& writer);
  void watch(LockHolder& lock_holder);
  void report_stuck(Progress& progress, int64_t since) const;
  bool print_counts() const;

  const Arguments arguments_;
  const Features features_;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::atomic<bool> must_stop_ = false;
  std::atomic<bool> has_failed_ = false;
  std::atomic<unsigned> running_ = 0;
  std::mutex printing_;
};

Features Load::prepare(const Arguments& arguments) {
  const std::string shared = arguments.directory + "/shared";
  if (::mkdir(shared.c_str(), 0777) != 0) throw std::system_error(errno, std::generic_category(), shared);
  Features features = Features::probe(arguments.directory);
  features.walks = arguments.walks;
  return features;
}

void Load::write(Writer& writer) {
  Progress& progress = writer.progress();
  progress.thread = int(::gettid());
  try {
    while (!must_stop_ && !has_failed_ && writer.operations() < arguments_.operations) writer.step();
    for (const auto& [name, run] : {std::pair{"verify", &Writer::verify}, std::pair{"remove", &Writer::remove}}) {
      progress.operation = name;
      progress.since = monotonic_milliseconds();
      if (!has_failed_) (writer.*run)();
      progress.since = 0;
    }
  } catch (const std::exception& error) {
    const std::lock_guard lock(printing_);
    std::printf("DIFFERENCE: seed %lu, writer of thread %d: %s\n", arguments_.seed, progress.thread.load(),
                error.what());
    for (const std::string& operation : writer.history()) std::printf("    %s\n", operation.substr(0, 400).c_str());
    std::fflush(stdout);
    has_failed_ = true;
  }
  --running_;
}

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void Load::report_stuck(Progress& progress, int64_t since) const {
  std::printf("STUCK: seed %lu, thread %d in %s for %ld ms\n", arguments_.seed, progress.thread.load(),
              progress.operation.load(), since);
  for (const auto& writer : writers_) {
    const std::string task = fmt::format("/proc/self/task/{}/", writer->progress().thread.load());
    std::printf("thread %d in %s\n%s\n", writer->progress().thread.load(), writer->progress().operation.load(),
                text_of(task + "stack").c_str());
  }
  std::fflush(stdout);
}

void Load::watch(LockHolder& lock_holder) {
  while (running_ > 0) {
    pollfd input{.fd = must_stop_ ? -1 : STDIN_FILENO, .events = POLLIN, .revents = 0};
    ::poll(&input, 1, 100);
    if ((input.revents & (POLLHUP | POLLIN)) != 0) must_stop_ = true;
    const int64_t now = monotonic_milliseconds();
    for (const auto& writer : writers_) {
      const int64_t since = writer->progress().since;
      // Comparing and removing everything is many operations.
      const int64_t patience = arguments_.patience * (must_stop_ ? 5000L : 1000L);
      if (since == 0 || now - since < patience) continue;
      report_stuck(writer->progress(), now - since);
      std::_Exit(3);
    }
    if (!lock_holder.is_held()) {
      std::printf("DIFFERENCE: the record lock of another process is lost\n");
      has_failed_ = true;
    }
  }
}

bool Load::print_counts() const {
  std::map<std::string_view, uint64_t> counts;
  uint64_t operations = 0;
  uint64_t compared = 0;
  for (const auto& writer : writers_) {
    for (const auto& [name, count] : writer->counts()) counts[name] += count;
    operations += writer->operations();
    compared += writer->bytes_compared();
  }
  std::printf(
      "%lu operations of %u writers, %lu MiB compared, seed %lu; zero_range %d xattrs %d tmpfile %d direct %d\n",
      operations, arguments_.writers, compared >> 20, arguments_.seed, features_.zero_range, features_.xattrs,
      features_.tmpfile, features_.direct_reads);
  for (const auto& [name, count] : counts) std::printf("%s %lu, ", std::string(name).c_str(), count);
  std::printf("%s\n", has_failed_ ? "FAILED" : "all as it must be");
  return !has_failed_;
}

bool Load::run(LockHolder& lock_holder) {
  {
    std::vector<std::jthread> threads;
    running_ = unsigned(writers_.size());
    for (const auto& writer : writers_) threads.emplace_back([&] { write(*writer); });
    watch(lock_holder);
  }
  writers_.front()->progress().since = 0;
  if (!has_failed_) {
    ::unlink(lock_holder.path().c_str());
    if (::rmdir((arguments_.directory + "/shared").c_str()) != 0) {
      std::printf("DIFFERENCE: the shared directory is not empty: %s\n", std::strerror(errno));
      has_failed_ = true;
    }
  }
  return print_counts();
}

int main(int count, char** values) {
  const Arguments arguments = parse(count, values);
  ::umask(0);
  LockHolder lock_holder(arguments.directory + "/locked");
  Load load(arguments);
  return load.run(lock_holder) ? 0 : 1;
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** values) try { return ztmpfs::main(count, values); } catch (const std::exception& error) {
  std::fprintf(stderr, "kill_load: %s\n", error.what());
  return 2;
}
