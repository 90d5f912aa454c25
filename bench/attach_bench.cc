// How long a new server takes from its start until it would answer, on images of source trees and of many small files.
//
//   attach_bench [--smoke] [--mib N]... [--files N]... [--runs N]
//
// --mib: a tree of text files, 16 KiB on average as in source trees, of so many MiB before compression. --files: so
// many files of 100 bytes, 1000 in a directory. Each line is one image: the best and the median of the runs, each in a
// process of its own, from fork(2) to the moment when the server would read its first request; and the processor time
// of the best.
#include <linux/fuse.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fs/volume.h"
#include "fuse/fuse_server.h"

namespace ztmpfs {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::string_view kAttach = "--attach";
constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr int kFilesPerDirectory = 16;
constexpr int kSmallFilesPerDirectory = 1000;
constexpr double kFileSizeMedian = 5500;  // with a sigma of 1.45: 16 KiB on average
constexpr double kFileSizeSigma = 1.45;

VolumeOptions volume_options() {
  VolumeOptions options;
  options.size = 16 * kGiB;
  options.codec = {CodecId::kLz4, 1};  // what it is sealed with does not matter here, how many objects it makes does
  return options;
}

// Text with the redundancy of source code: lines of words, a third of their size with lz4.
std::string make_text(size_t size) {
  std::mt19937_64 random(7);
  std::vector<std::string> words;
  for (int i = 0; i < 2000; ++i) {
    std::string word;
    for (auto length = 2 + random() % 9; length > 0; --length) word.push_back(char('a' + random() % 26));
    words.push_back(word);
  }
  std::string text;
  while (text.size() < size) {
    text += std::string(random() % 4 * 2, ' ');
    for (auto count = 1 + random() % 7; count > 0; --count) {
      // Few words are used often.
      const double share = double(random() % 1000) / 1000;
      text += words[size_t(share * share * share * double(words.size()))] + " ";
    }
    text += ";\n";
  }
  text.resize(size);
  return text;
}

/// An image that is filled in this process and attached in others.
class Builder {
 public:
  Builder() : volume_(ImageFiles::create({.capacity = 24 * kGiB}), volume_options(), clock_) {}

  void add_tree(Bytes bytes) {
    std::lognormal_distribution<double> size(std::log(kFileSizeMedian), kFileSizeSigma);
    std::vector<uint64_t> directories{kRoot};
    for (Bytes written = 0; written < bytes; ++files_) {
      if (files_ % kFilesPerDirectory == 0)
        directories.push_back(add_directory(directories[random_() % directories.size()]));
      const auto length = size_t(std::clamp(size(random_), 1.0, 4e6));
      add_file(directories.back(), length);
      written += length;
    }
  }
  void add_small_files(uint64_t count) {
    uint64_t directory = kRoot;
    for (uint64_t i = 0; i < count; ++i, ++files_) {
      if (i % kSmallFilesPerDirectory == 0) directory = add_directory(kRoot);
      add_file(directory, 100);
    }
  }
  // As if a server had begun the connection and died.
  void finish() {
    volume_.settle();
    struct {
      fuse_in_header header;
      fuse_init_in init;
    } request{};
    request.header.len = sizeof(request);
    request.header.opcode = FUSE_INIT;
    request.init.major = FUSE_KERNEL_VERSION;
    request.init.minor = 38;
    request.init.max_readahead = 128 * 1024;
    RequestSlot(volume_.image(), 0).reader().save_init(std::as_bytes(std::span(&request, 1)));
  }
  Volume& volume() { return volume_; }
  uint64_t inodes() { return volume_.fs().files(); }

 private:
  template <class Request>
  auto run(Request&& request) {
    Operation op(volume_.image(), request_record(volume_.image(), 0), {});
    auto result = request(op);
    op.end();
    return result;
  }
  void forget(uint64_t ino) {
    Operation op(volume_.image(), request_record(volume_.image(), 0), {});
    const Forget item{ino, 1};
    volume_.fs().forget(op, std::span(&item, 1));
    op.end();
  }
  uint64_t add_directory(uint64_t parent) {
    const std::string name = "directory" + std::to_string(directories_++);
    const uint64_t ino = run([&](Operation& op) { return volume_.fs().mkdir(op, parent, name, 0755); }).value().ino;
    forget(ino);
    return ino;
  }
  void add_file(uint64_t parent, size_t length) {
    const std::string name = "file_" + std::to_string(files_) + ".cc";
    const uint64_t ino =
        run([&](Operation& op) { return volume_.fs().create(op, parent, name, 0644, true); }).value().ino;
    for (size_t done = 0; done < length;) {
      const size_t part = std::min<size_t>(length - done, 128 * kKiB);
      const size_t from = random_() % (text_.size() - part);
      const auto data = std::as_bytes(std::span(text_).subspan(from, part));
      done += run([&](Operation& op) { return volume_.fs().write(op, ino, done, data); }).value();
    }
    forget(ino);
  }

  SystemClock clock_;
  Volume volume_;
  std::mt19937_64 random_{1};
  const std::string text_ = make_text(8 * kMiB);
  uint64_t files_ = 0;
  uint64_t directories_ = 0;
};

// The process that is measured: says so on stdout when it would serve.
int attach(std::string_view descriptors) {
  std::array<int, 4> fds{};
  for (int& fd : fds) {
    const auto end = std::from_chars(descriptors.data(), descriptors.data() + descriptors.size(), fd).ptr;
    descriptors.remove_prefix(std::min(size_t(end - descriptors.data()) + 1, descriptors.size()));
  }
  const SystemClock clock;
  Volume volume({UniqueFd(fds[0]), UniqueFd(fds[1]), UniqueFd(fds[2])}, volume_options(), clock);
  FuseServer::Options options;
  options.on_ready = [] {
    [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, "R", 1);
    std::_Exit(EXIT_SUCCESS);
  };
  FuseServer(fds[3], volume, options).run();
  return EXIT_FAILURE;
}

struct Sample {
  Milliseconds time;
  Milliseconds processor_time;
  auto operator<=>(const Sample&) const = default;
};

Milliseconds processor_time(const rusage& usage) {
  const auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

Sample attach_once(const ImageFiles& files) {
  std::array<int, 2> connection{};
  std::array<int, 2> answer{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, connection.data()) != 0 || ::pipe(answer.data()) != 0) std::abort();
  const std::array image{::dup(files.meta.get()), ::dup(files.data.get()), ::dup(files.buffers.get())};
  std::string argument;
  for (const int fd : {image[0], image[1], image[2], connection[1]}) argument += std::to_string(fd) + ",";
  const auto begin = std::chrono::steady_clock::now();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(answer[1], STDOUT_FILENO);
    ::execl("/proc/self/exe", "attach_bench", kAttach.data(), argument.c_str(), nullptr);
    ::_exit(EXIT_FAILURE);
  }
  ::close(answer[1]);
  char ready = 0;
  const ssize_t count = ::read(answer[0], &ready, 1);
  const Milliseconds time = std::chrono::steady_clock::now() - begin;
  int status = 0;
  rusage usage{};
  ::wait4(pid, &status, 0, &usage);
  for (const int fd : {image[0], image[1], image[2], connection[0], connection[1], answer[0]}) ::close(fd);
  if (count != 1 || status != 0) throw std::runtime_error("the attaching process failed");
  return {time, processor_time(usage)};
}

void measure(const std::string& what, Builder& builder, int runs) {
  builder.finish();
  std::vector<Sample> samples;
  for (int run = 0; run < runs; ++run) samples.push_back(attach_once(builder.volume().image().files()));
  std::ranges::sort(samples);
  const VolumeStats stats = builder.volume().stats();
  std::printf(
      "%s: %lu inodes, %lu objects, %lu MiB in memory: best %.0f ms (%.0f ms of processor time), median %.0f ms of "
      "%d\n",
      what.c_str(), builder.inodes(), stats.pool.objects_used, builder.volume().image().allocated() / kMiB,
      samples.front().time.count(), samples.front().processor_time.count(), samples[samples.size() / 2].time.count(),
      runs);
  std::fflush(stdout);
}

int benchmark(std::vector<uint64_t> mib, std::vector<uint64_t> files, int runs) {
  for (const uint64_t size : mib) {
    Builder builder;
    builder.add_tree(size * kMiB);
    measure("a source tree of " + std::to_string(size) + " MiB", builder, runs);
  }
  for (const uint64_t count : files) {
    Builder builder;
    builder.add_small_files(count);
    measure(std::to_string(count) + " small files", builder, runs);
  }
  return EXIT_SUCCESS;
}

int main_with(const std::vector<std::string_view>& arguments) {
  std::vector<uint64_t> mib;
  std::vector<uint64_t> files;
  int runs = 5;
  const auto number = [&](size_t i) { return i < arguments.size() ? std::atoll(arguments[i].data()) : 0; };
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == kAttach && i + 1 < arguments.size()) return attach(arguments[i + 1]);
    if (arguments[i] == "--mib") mib.push_back(uint64_t(number(++i)));
    if (arguments[i] == "--files") files.push_back(uint64_t(number(++i)));
    if (arguments[i] == "--runs") runs = std::max(int(number(++i)), 1);
    if (arguments[i] == "--smoke") return benchmark({4}, {2000}, 1);
  }
  if (!mib.empty() || !files.empty()) return benchmark(mib, files, runs);
  return benchmark({100, 1024, 4096}, {1'000'000}, runs);
}

}  // namespace
}  // namespace ztmpfs

int main(int argc, char** argv) {
  try {
    return ztmpfs::main_with({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "attach_bench: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
