#include "tests/crash/server_launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "fuse/fuse_server.h"
#include "tests/crash/aimed_kill.h"

namespace ztmpfs {

namespace {

constexpr size_t kMessageMax = 4096;
constexpr int kDeathPatienceMilliseconds = 15'000;
// How long a kill waits for a compaction to begin.
constexpr std::chrono::milliseconds kCompactionPatience{60};
// So often the server's reclaim runs follow each other; of them, one in so many uses every shrinker.
constexpr std::chrono::microseconds kReclaimPause{500};
constexpr uint64_t kEveryShrinkerShare = 8;
constexpr std::string_view kCompaction = "compaction";

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

// An explicit instantiation may name what is private ([temp.spec.general]).
uintptr_t address_of_relocate();
template <auto kFunction>
struct Relocate {
  friend uintptr_t address_of_relocate() { return address(kFunction); }
};
template struct Relocate<&Pool::relocate>;
uintptr_t address_of_commit();
template <auto kFunction>
struct Commit {
  friend uintptr_t address_of_commit() { return address(kFunction); }
};
template struct Commit<&Transaction::begin_commit>;

uintptr_t address_of(ServerLauncher::Step step) {
  switch (step) {
    case ServerLauncher::Step::kCommit: return address_of_commit();
    case ServerLauncher::Step::kAllocate: return address(&Pool::allocate);
    case ServerLauncher::Step::kFree: return address(&Pool::free);
    case ServerLauncher::Step::kTruncate: return address(&BlockStore::truncate);
    case ServerLauncher::Step::kSeal: return address(&BlockStore::seal);
    case ServerLauncher::Step::kRelocate: return address_of_relocate();
    case ServerLauncher::Step::kCompactStep: return address(&SlotSpans::compact_step);
    case ServerLauncher::Step::kDiscard: return address(&Arena::discard);
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

// Reclaims beside the clients, as if memory were always short.
void reclaim_again_and_again(Volume& volume, const CompactionTally& tally, const std::stop_token& stop) {
  for (uint64_t turn = 1; !stop.stop_requested(); ++turn) {
    ReclaimRequest request;
    if (turn % 2 == 0) request.target = kPageSize;
    if (turn % kEveryShrinkerShare != 0) {
      request.only = kCompaction;
      tally->is_under_way = volume.pool().compactable() > 0;
    }
    const ReclaimReport report = volume.reclaimer().run(request);
    tally->is_under_way = false;
    for (const ReclaimReport::Part& part : report.parts)
      if (part.shrinker == kCompaction) tally->pages_compacted += part.result.freed / kPageSize;
    std::this_thread::sleep_for(kReclaimPause);
  }
}

/// The launching process: forks what it is told to, and waits for it.
class Launcher {
 public:
  using Step = ServerLauncher::Step;

  Launcher(const ImageFiles& files, int connection, const VolumeOptions& options, const CompactionTally& tally,
           int control)
      : files_(files), connection_(connection), options_(options), tally_(tally), control_(control) {}

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
      case 'c': return kill_within_compaction(std::chrono::microseconds(command.number));
      case 'w': return await();
      case 'a': return kill_within(Step(command.step), command.number);
      default: return inspect(command.number != 0);
    }
  }

  // Its end of the pipe of words is the child's only way to say something but dying.
  pid_t fork_child(const std::function<void()>& body) {
    tally_->is_under_way = false;
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
    AimedKill kill(server_, address_of(step), instructions);
    const int status = kill.run(instructions % 16 * 500);
    const bool is_of_compaction = step >= Step::kRelocate && kill.has_hit();
    // A run of all shrinkers may have come here too.
    if (step == Step::kRelocate && kill.has_hit()) tally_->is_under_way = true;
    if (is_of_compaction && tally_->is_under_way) ++tally_->kills_aimed;
    return judge(status);
  }

  std::string kill_within_compaction(std::chrono::microseconds delay) {
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + kCompactionPatience; !tally_->is_under_way && Clock::now() < end;) continue;
    for (const auto end = Clock::now() + delay; Clock::now() < end;) continue;
    ::kill(server_, SIGKILL);
    return await();
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
    if (tally_->is_under_way) ++tally_->kills_within;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return "+";
    return "-the server ended with wait status " + std::to_string(status) + ": " + hear();
  }

  void serve(uint32_t replies_before_death) {
    // Each reclaim run is logged; what is wrong is told by say(), and by sanitizers on stderr.
    ::dup2(UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)).get(), STDOUT_FILENO);
    // The first line makes the logger, which has to be there before the threads.
    log(LogLevel::kInfo, "a server starts");
    Volume volume(duplicate(files_), options_, clock_);
    if (const std::string breaches = audit(volume); !breaches.empty())
      throw std::runtime_error("after attach: " + breaches);
    std::atomic<uint32_t> replies = 0;
    // The kills are no fault of the request: one that is met by three of them is executed all the same.
    FuseServer::Options options{.readers = 2,
                                .long_transfer = 0,
                                .attempts_max = UINT32_MAX,
                                .on_ready = {},
                                .hooks = {},
                                .features = {.xattr = true}};
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
    const std::jthread reclaim([&](const std::stop_token& stop) { reclaim_again_and_again(volume, tally_, stop); });
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
  const CompactionTally& tally_;
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
    Launcher(files, connection, options, tally_, ends[1]).run();
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

void ServerLauncher::kill_within_compaction(uint32_t microseconds) { call('c', microseconds); }

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
