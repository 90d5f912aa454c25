// Many threads rename, link and unlink across the same directories, in both directions: see usage().
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/posix/random.h"

namespace ztmpfs {
namespace {

constexpr unsigned kDirectories = 4;
constexpr unsigned kFilesPerThread = 6;
constexpr unsigned kFixtures = 200;
constexpr unsigned kRotating = 3;

std::string directory_name(uint64_t number) { return "d" + std::to_string(number); }

/// One thread's names, all with its own prefix, in directories that all threads use. It alone knows where each is: each
/// call must succeed or fail as the log says, and in the end each name is exactly where the log has it.
class Mover {
 public:
  Mover(int root, unsigned thread) : root_(root), prefix_("t" + std::to_string(thread) + "_"), random_(thread + 1) {}

  void run(const std::atomic<bool>& is_over) {
    while (!is_over && ok()) {
      switch (random_.below(8)) {
        case 0: create(); break;
        case 1: link(); break;
        case 2: unlink(); break;
        case 3: exchange(); break;
        default: rename(); break;
      }
      ++operations_;
    }
  }
  bool ok() const { return complaint_.empty(); }
  const std::string& complaint() const { return complaint_; }
  uint64_t operations() const { return operations_; }
  /// Path and inode of each name.
  const std::map<std::string, ino_t>& log() const { return log_; }

 private:
  std::string place() {
    return directory_name(random_.below(kDirectories)) + "/" + prefix_ + std::to_string(random_.below(kFilesPerThread));
  }
  void expect(const std::string& what, int result, int wanted) {
    const int error = result == 0 ? 0 : errno;
    if (error != wanted)
      complaint_ = what + " gives " + std::strerror(error) + ", but the log says " + std::strerror(wanted);
  }
  void create() {
    const std::string path = place();
    const int fd = ::openat(root_, path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    expect("create " + path, fd < 0 ? -1 : 0, log_.contains(path) ? EEXIST : 0);
    if (fd < 0) return;
    struct stat status{};
    ::fstat(fd, &status);
    ::close(fd);
    log_[path] = status.st_ino;
  }
  void link() {
    const std::string from = place();
    const std::string to = place();
    int done = ::linkat(root_, from.c_str(), root_, to.c_str(), 0);
    // A listing whose reply overtakes that to an unlink leaves the kernel with too small a link count, until it asks
    // again (fs/fuse/dir.c, fuse_entry_unlinked); at zero it refuses to link, and does not ask.
    struct stat status{};
    if (done < 0 && errno == ENOENT && log_.contains(from) && ::fstatat(root_, from.c_str(), &status, 0) == 0)
      done = ::linkat(root_, from.c_str(), root_, to.c_str(), 0);
    expect("link " + from + " " + to, done, !log_.contains(from) ? ENOENT : log_.contains(to) ? EEXIST : 0);
    if (done == 0) log_[to] = log_[from];
  }
  void unlink() {
    const std::string path = place();
    const int done = ::unlinkat(root_, path.c_str(), 0);
    expect("unlink " + path, done, log_.contains(path) ? 0 : ENOENT);
    if (done == 0) log_.erase(path);
  }
  void rename() {
    const std::string from = place();
    const std::string to = place();
    const int done = ::renameat(root_, from.c_str(), root_, to.c_str());
    expect("rename " + from + " " + to, done, log_.contains(from) ? 0 : ENOENT);
    // Of two names of one file both stay.
    if (done != 0 || (log_.contains(to) && log_[to] == log_[from])) return;
    log_[to] = log_[from];
    log_.erase(from);
  }
  void exchange() {
    const std::string from = place();
    const std::string to = place();
    const int done = ::renameat2(root_, from.c_str(), root_, to.c_str(), RENAME_EXCHANGE);
    expect("exchange " + from + " " + to, done, log_.contains(from) && log_.contains(to) ? 0 : ENOENT);
    if (done == 0) std::swap(log_[from], log_[to]);
  }

  int root_;
  std::string prefix_;
  Random random_;
  std::map<std::string, ino_t> log_;
  std::string complaint_;
  uint64_t operations_ = 0;
};

/// Moves directories between the same parents, into and out of each other: who is whose ancestor changes all the time.
void rotate(int root, unsigned thread, const std::atomic<bool>& is_over) {
  Random random(1000 + thread);
  const auto place = [&] {
    std::string path = directory_name(random.below(kDirectories));
    for (uint64_t depth = random.below(3); depth > 0; --depth) path += "/r" + std::to_string(random.below(kRotating));
    return path + "/r" + std::to_string(random.below(kRotating));
  };
  while (!is_over) {
    if (random.chance(20)) {
      ::mkdirat(root, place().c_str(), 0755);
    } else if (random.chance(10)) {
      ::unlinkat(root, place().c_str(), AT_REMOVEDIR);
    } else {
      ::renameat2(root, place().c_str(), root, place().c_str(), random.chance(30) ? RENAME_EXCHANGE : 0);
    }
  }
}

std::multiset<std::string> names_in(int root, const std::string& directory) {
  std::multiset<std::string> names;
  const int fd = ::openat(root, directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd), ::closedir);
  if (!stream) return names;
  while (const dirent* entry = ::readdir(stream.get())) names.insert(entry->d_name);
  return names;
}

/// Reads the directories meanwhile: names that nobody touches must be there, each once. Says what was wrong, or
/// nothing.
std::string watch(int root, const std::atomic<bool>& is_over, std::atomic<uint64_t>& listings) {
  for (uint64_t round = 0; !is_over; ++round) {
    const std::string directory = directory_name(round % kDirectories);
    const auto names = names_in(root, directory);
    for (unsigned i = 0; i < kFixtures; ++i) {
      const std::string fixture = "fixture" + std::to_string(i);
      const size_t count = names.count(fixture);
      if (count != 1) return directory + "/" + fixture + " was told " + std::to_string(count) + " times";
    }
    ++listings;
  }
  return "";
}

struct Storm {
  int root;
  unsigned threads;
  unsigned seconds;
};

void make_fixtures(int root) {
  for (unsigned directory = 0; directory < kDirectories; ++directory) {
    ::mkdirat(root, directory_name(directory).c_str(), 0755);
    for (unsigned i = 0; i < kFixtures; ++i) {
      const std::string path = directory_name(directory) + "/fixture" + std::to_string(i);
      ::close(::openat(root, path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
  }
}

/// Whether each of the thread's names is where its log says, names the file it says, and no other name is there.
bool agrees(int root, const Mover& mover, unsigned thread) {
  const std::string prefix = "t" + std::to_string(thread) + "_";
  size_t found = 0;
  for (unsigned directory = 0; directory < kDirectories; ++directory)
    for (const std::string& name : names_in(root, directory_name(directory))) {
      if (!name.starts_with(prefix)) continue;
      const std::string path = directory_name(directory) + "/" + name;
      const auto logged = mover.log().find(path);
      struct stat status{};
      const bool is_right = logged != mover.log().end() && ::fstatat(root, path.c_str(), &status, 0) == 0 &&
                            status.st_ino == logged->second;
      if (!is_right) return std::printf("FAIL %s is not what the log says\n", path.c_str()), false;
      ++found;
    }
  if (found == mover.log().size()) return true;
  std::printf("FAIL thread %u: %zu names of %zu are left\n", thread, found, mover.log().size());
  return false;
}

bool run(const Storm& storm) {
  make_fixtures(storm.root);
  std::vector<Mover> movers;
  for (unsigned i = 0; i < storm.threads; ++i) movers.emplace_back(storm.root, i);
  std::atomic<bool> is_over = false;
  std::atomic<uint64_t> listings = 0;
  std::string seen;
  {
    std::vector<std::jthread> threads;
    for (Mover& mover : movers) threads.emplace_back([&] { mover.run(is_over); });
    for (unsigned i = 0; i < 2; ++i) threads.emplace_back([&, i] { rotate(storm.root, i, is_over); });
    threads.emplace_back([&] { seen = watch(storm.root, is_over, listings); });
    // A thread that does not get on means a deadlock.
    for (unsigned second = 0; second < storm.seconds; ++second) std::this_thread::sleep_for(std::chrono::seconds(1));
    is_over = true;
  }
  bool is_fine = seen.empty() && listings > 0;
  if (!seen.empty()) std::printf("FAIL %s\n", seen.c_str());
  uint64_t operations = 0;
  for (unsigned i = 0; i < storm.threads; ++i) {
    if (!movers[i].ok()) std::printf("FAIL thread %u: %s\n", i, movers[i].complaint().c_str());
    is_fine = is_fine && movers[i].ok() && movers[i].operations() > 0 && agrees(storm.root, movers[i], i);
    operations += movers[i].operations();
  }
  std::printf("%s: %lu operations of %u threads, %lu listings in %u s\n", is_fine ? "PASS" : "FAIL", operations,
              storm.threads, listings.load(), storm.seconds);
  return is_fine;
}

int main(int count, char** values) {
  if (count != 4) {
    std::fputs("usage: lock_storm DIRECTORY THREADS SECONDS\n", stderr);
    return 2;
  }
  const int root = ::open(values[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) {
    std::fprintf(stderr, "lock_storm: %s: %s\n", values[1], std::strerror(errno));
    return 2;
  }
  return run({root, unsigned(std::atoi(values[2])), unsigned(std::atoi(values[3]))}) ? 0 : 1;
}

}  // namespace
}  // namespace ztmpfs

int main(int count, char** values) try { return ztmpfs::main(count, values); } catch (const std::exception& error) {
  std::fprintf(stderr, "lock_storm: %s\n", error.what());
  return 2;
}
