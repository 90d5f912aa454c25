#include "tests/crash/server_launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <system_error>

#include "base/clock.h"
#include "fuse/fuse_server.h"
#include "tests/crash/aimed_kill.h"

namespace ztmpfs {

namespace {

constexpr size_t kMessageMax = 4096;
constexpr int kDeathPatienceMilliseconds = 15'000;

struct Command {
  char kind;
  uint8_t step;
  uint32_t number;
};

// A pointer to a member function that is not virtual begins with the function's address (Itanium C++ ABI, 2.3).
template <class Function>
uintptr_t address(Function function) {
  uintptr_t start = 0;
  std::memcpy(&start, &function, sizeof(start));
  return start;
}

uintptr_t address_of(ServerLauncher::Step step) {
  switch (step) {
    case ServerLauncher::Step::kCommit: return address(&Transaction::commit);
    case ServerLauncher::Step::kAllocate: return address(&Pool::allocate);
    case ServerLauncher::Step::kFree: return address(&Pool::free);
    case ServerLauncher::Step::kTruncate: return address(&BlockStore::truncate);
    case ServerLauncher::Step::kSeal: return address(&BlockStore::seal);
  }
  return 0;
}

UniqueFd duplicate(const UniqueFd& fd) { return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3)); }

ImageFiles duplicate(const ImageFiles& files) {
  return {.meta = duplicate(files.meta), .data = duplicate(files.data), .buffers = duplicate(files.buffers)};
}

std::string audit(Volume& volume) {
  std::string text;
  for (const auto& breach : volume.fs().audit()) text += breach + "\n";
  return text;
}

/// The launching process: forks what it is told to, and waits for it.
class Launcher {
 public:
  using Step = ServerLauncher::Step;

  Launcher(const ImageFiles& files, int connection, const VolumeOptions& options, int control)
      : files_(files), connection_(connection), options_(options), control_(control) {}

  [[noreturn]] void run() {
    Command command{};
    while (::recv(control_, &command, sizeof(command), 0) == sizeof(command)) {
      const std::string answer = execute(command);
      ::send(control_, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    if (server_ > 0) ::kill(server_, SIGKILL);
    ::_exit(0);
  }

 private:
  // Answers begin with '+', or with '-' and what went wrong.
  std::string execute(const Command& command) {
    switch (command.kind) {
      case 's': server_ = fork_child([&] { serve(command.number); }); return "+";
      case 'k': ::kill(server_, SIGKILL); return await();
      case 'w': return await();
      case 'a': return kill_within(Step(command.step), command.number);
      default: return inspect(command.number != 0);
    }
  }

  // Its end of the pipe of words is the child's only way to say something but dying.
  pid_t fork_child(const std::function<void()>& body) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) ::_exit(9);
    words_.reset(ends[0]);
    UniqueFd mouth(ends[1]);
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    mouth_ = mouth.get();
    try {
      body();
      ::_exit(0);
    } catch (const std::exception& error) {
      say(std::string("-") + error.what());
    }
    ::_exit(1);
  }

  void say(const std::string& text) const { static_cast<void>(!::write(mouth_, text.data(), text.size())); }

  // Everything a child said, once it has died.
  std::string hear() {
    std::string text;
    std::array<char, kMessageMax> part{};
    for (ssize_t length = 0; (length = ::read(words_.get(), part.data(), part.size())) > 0;)
      text.append(part.data(), size_t(length));
    return text;
  }

  std::string kill_within(Step step, uint32_t instructions) {
    server_ = fork_child([&] {
      AimedKill::offer();
      serve(0);
    });
    return judge(AimedKill(server_, address_of(step), instructions).run(instructions % 16 * 500));
  }

  std::string await() {
    int status = 0;
    for (int waited = 0; ::waitpid(server_, &status, WNOHANG) == 0; ++waited) {
      if (waited == kDeathPatienceMilliseconds) ::kill(server_, SIGKILL);
      ::usleep(1000);
    }
    return judge(status);
  }

  std::string judge(int status) {
    server_ = -1;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return "+";
    return "-the server ended with wait status " + std::to_string(status) + ": " + hear();
  }

  void serve(uint32_t replies_before_death) {
    Volume volume(duplicate(files_), options_, clock_);
    if (const std::string breaches = audit(volume); !breaches.empty())
      throw std::runtime_error("after attach: " + breaches);
    std::atomic<uint32_t> replies = 0;
    // The kills are no fault of the request: one that is met by three of them is executed all the same.
    FuseServer::Options options{
        .readers = 2, .long_transfer = 0, .attempts_max = UINT32_MAX, .on_ready = {}, .hooks = {}};
    if (replies_before_death != 0) {
      options.hooks.after_reply = [&](uint32_t) {
        if (++replies != replies_before_death) return;
        // Meanwhile the other reader serves what the client asks next.
        ::usleep(replies_before_death % 4 * 500);
        ::kill(::getpid(), SIGKILL);
      };
    }
    FuseServer server(connection_, volume, options);
    volume.set_on_settled([&](uint64_t ino) { server.attributes_changed(ino); });
    volume.start();
    server.run();
    volume.stop();
  }

  std::string inspect(bool purge) {
    const pid_t child = fork_child([&] {
      Volume volume(duplicate(files_), options_, clock_);
      while (purge && volume.fs().purge_step()) continue;
      const std::string breaches = audit(volume);
      const VolumeStats stats = volume.stats();
      const std::array<uint64_t, 5> figures{volume.fs().files(), stats.directories, stats.store.orig_data_size,
                                            stats.pool.objects_used, volume.image().allocated()};
      say("+" + std::string(reinterpret_cast<const char*>(figures.data()), sizeof(figures)) + breaches);
    });
    const std::string words = hear();
    int status = 0;
    ::waitpid(child, &status, 0);
    return words.empty() ? "-the inspecting process ended with wait status " + std::to_string(status) : words;
  }

  const ImageFiles& files_;
  const int connection_;
  const VolumeOptions options_;
  const int control_;
  const SystemClock clock_;
  UniqueFd words_;
  int mouth_ = -1;
  pid_t server_ = -1;
};

}  // namespace

ServerLauncher::ServerLauncher(const ImageFiles& files, int connection, const VolumeOptions& options) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  control_.reset(ends[0]);
  launcher_ = ::fork();
  if (launcher_ == 0) {
    control_.reset();
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Launcher(files, connection, options, ends[1]).run();
  }
  ::close(ends[1]);
}

ServerLauncher::~ServerLauncher() {
  control_.reset();
  ::waitpid(launcher_, nullptr, 0);
}

std::string ServerLauncher::call(char kind, uint32_t number, Step step) {
  const Command command{.kind = kind, .step = uint8_t(step), .number = number};
  ::send(control_.get(), &command, sizeof(command), MSG_NOSIGNAL);
  std::string answer(16 * kMessageMax, '\0');
  const ssize_t length = ::recv(control_.get(), answer.data(), answer.size(), 0);
  if (length < 1) throw std::runtime_error("the launching process is gone");
  if (answer[0] != '+') throw std::runtime_error(answer.substr(1, size_t(length) - 1));
  return answer.substr(1, size_t(length) - 1);
}

void ServerLauncher::start(uint32_t replies_before_death) { call('s', replies_before_death); }

void ServerLauncher::kill() { call('k', 0); }

void ServerLauncher::start_and_kill_within(Step step, uint32_t instructions) { call('a', instructions, step); }

void ServerLauncher::await_death() { call('w', 0); }

ImageReport ServerLauncher::inspect(bool purge) {
  const std::string answer = call('i', purge ? 1 : 0);
  std::array<uint64_t, 5> figures{};
  if (answer.size() < sizeof(figures)) throw std::runtime_error("an inspection says too little");
  std::memcpy(figures.data(), answer.data(), sizeof(figures));
  return {.breaches = answer.substr(sizeof(figures)),
          .inodes = figures[0],
          .directories = figures[1],
          .orig_data_size = figures[2],
          .pool_objects = figures[3],
          .memory = figures[4]};
}

}  // namespace ztmpfs
