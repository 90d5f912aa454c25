#include "tests/crash/kill_rig.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>
#include <stdexcept>

#include "fuse/fuse_server.h"
#include "tests/crash/image_dump.h"
#include "tests/crash/kill_points.h"
#include "tests/support/fake_caller.h"
#include "tests/support/fake_kernel.h"
#include "tests/support/test_volume.h"

namespace ztmpfs {

namespace {

constexpr uint64_t kUnique = 2;
constexpr int kSocketBuffer = 1024 * 1024;
constexpr unsigned kPatienceSeconds = 60;

std::vector<std::byte> make_message(const KillRequest& request) {
  fuse_in_header header{};
  header.len = uint32_t(sizeof(header) + request.argument.size());
  header.opcode = request.opcode;
  header.nodeid = request.nodeid;
  header.unique = kUnique;
  header.uid = 1000;
  header.gid = 100;
  auto message = make_argument(header);
  message.insert(message.end(), request.argument.begin(), request.argument.end());
  return message;
}

void copy_extents(int from, int to) {
  std::vector<std::byte> buffer(256 * kKiB);
  for (off_t begin = 0, end = 0; (begin = ::lseek(from, end, SEEK_DATA)) >= 0;) {
    end = ::lseek(from, begin, SEEK_HOLE);
    for (off_t at = begin; at < end;) {
      const ssize_t length = ::pread(from, buffer.data(), std::min<size_t>(buffer.size(), size_t(end - at)), at);
      if (length <= 0 || ::pwrite(to, buffer.data(), size_t(length), at) != length)
        throw std::runtime_error("an image cannot be copied");
      at += length;
    }
  }
}

UniqueFd copy_file(const UniqueFd& file) {
  struct stat status{};
  ::fstat(file.get(), &status);
  UniqueFd copy(::memfd_create("copy", MFD_CLOEXEC));
  if (!copy || ::ftruncate(copy.get(), status.st_size) != 0) throw std::runtime_error("no memory for an image");
  copy_extents(file.get(), copy.get());
  return copy;
}

// The connection: a request that waits to be read, the end of the connection behind it, and replies.
class Connection {
 public:
  explicit Connection(const KillRequest& request) : opcode_(request.opcode) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
      throw std::runtime_error("no socket");
    kernel_end_.reset(ends[0]);
    server_end_.reset(ends[1]);
    for (const int end : ends) ::setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
    const auto message = make_message(request);
    if (::send(kernel_end_.get(), message.data(), message.size(), 0) != ssize_t(message.size()))
      throw std::runtime_error("a request cannot be sent");
    ::shutdown(kernel_end_.get(), SHUT_WR);
  }

  int server_end() const { return server_end_.get(); }

  std::vector<KillRun::Reply> take_replies() const {
    std::vector<KillRun::Reply> replies;
    std::vector<std::byte> buffer(kSocketBuffer);
    while (true) {
      const ssize_t length = ::recv(kernel_end_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (length < ssize_t(sizeof(fuse_out_header))) return replies;
      fuse_out_header header{};
      std::memcpy(&header, buffer.data(), sizeof(header));
      if (header.unique != kUnique) continue;
      replies.push_back({-header.error, {buffer.begin() + sizeof(header), buffer.begin() + length}});
      if (gives_entry(opcode_)) hide_use_counts(replies.back().body);
    }
  }

 private:
  static void hide_use_counts(std::vector<std::byte>& body) {
    fuse_entry_out entry{};
    if (body.size() < sizeof(entry)) return;
    std::memcpy(&entry, body.data(), sizeof(entry));
    entry.nodeid = ino_index(entry.nodeid);
    entry.attr.ino = ino_index(entry.attr.ino);
    std::memcpy(body.data(), &entry, sizeof(entry));
  }

  const uint32_t opcode_;
  UniqueFd kernel_end_;
  UniqueFd server_end_;
};

// A child process and what it says.
class Child {
 public:
  explicit Child(const std::function<std::string()>& body) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    words_.reset(ends[0]);
    const UniqueFd mouth(ends[1]);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(kPatienceSeconds);
    ::signal(SIGPIPE, SIG_IGN);
    int code = 0;
    std::string text;
    try {
      text = body();
    } catch (const std::exception& error) {
      text = error.what();
      code = 1;
    }
    for (size_t told = 0; told < text.size();) {
      const ssize_t length = ::write(mouth.get(), text.data() + told, text.size() - told);
      if (length <= 0) break;
      told += size_t(length);
    }
    ::_exit(code);
  }

  // Everything that it says until its end.
  std::string hear() {
    std::string text;
    std::array<char, 64 * 1024> part{};
    for (ssize_t length = 0; (length = ::read(words_.get(), part.data(), part.size())) > 0;)
      text.append(part.data(), size_t(length));
    ::waitpid(pid_, &status_, 0);
    return text;
  }
  bool was_killed() const { return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL; }
  bool has_succeeded() const { return WIFEXITED(status_) && WEXITSTATUS(status_) == 0; }
  int status() const { return status_; }

 private:
  UniqueFd words_;
  pid_t pid_ = -1;
  int status_ = 0;
};

}  // namespace

ImageFiles KillRig::copy_image() const {
  return {.meta = copy_file(files_.meta), .data = copy_file(files_.data), .buffers = copy_file(files_.buffers)};
}

KillRun KillRig::serve(const KillRequest& request, const std::vector<uint64_t>& deaths) const {
  const Connection connection(request);
  const Server server = [&](const ImageFiles& files, const std::function<void()>& arm) {
    serve_connection(files, connection.server_end(), arm);
  };
  KillRun result = run(server, deaths);
  result.replies = connection.take_replies();
  return result;
}

KillRun KillRig::work(const std::function<void(Volume&)>& body, const std::vector<uint64_t>& deaths) const {
  const Server server = [&](const ImageFiles& files, const std::function<void()>& arm) {
    Volume volume(duplicate(files), options_, clock_);
    arm();
    body(volume);
  };
  return run(server, deaths);
}

void KillRig::serve_connection(const ImageFiles& files, int connection, const std::function<void()>& arm) const {
  Volume volume(duplicate(files), options_, clock_);
  FuseServer server(connection, volume,
                    {.readers = 1, .on_ready = arm, .hooks = {}, .features = {.xattr = true, .acl = true}});
  server.run();
}

KillRun KillRig::run(const Server& server, const std::vector<uint64_t>& deaths) const {
  const ImageFiles files = copy_image();
  if (is_begun_) {
    const Image image(duplicate(files));
    ReaderRecord& saved = RequestSlot(image, 0).reader();
    const auto init = make_message({.opcode = FUSE_INIT, .nodeid = 0, .argument = init_argument()});
    saved.save_init(init);
  }
  KillRun result;
  bool is_first = true;
  for (const uint64_t deadly : deaths) {
    Child child([&] {
      run_server(server, files, deadly, is_first);
      return std::string("it lives on");
    });
    const std::string words = child.hear();
    if (!child.was_killed()) {
      result.failure = "wait status " + std::to_string(child.status()) + " instead of a kill at " +
                       std::to_string(deadly) + ": " + words;
      return result;
    }
    is_first = false;
  }
  Child child([&] {
    run_server(server, files, 0, is_first);
    bool is_stocked = settles_;
    auto volume = std::make_unique<Volume>(duplicate(files), options_, clock_);
    while (volume->fs().purge_step()) is_stocked = true;
    if (settles_) volume->settle();
    // What was freed leaves memory in stock: to be compared, all have to look alike.
    if (is_stocked) volume = std::make_unique<Volume>(duplicate(files), options_, clock_);
    return dump(*volume);
  });
  result.dump = child.hear();
  result.points = KillPoints::passed();
  if (!child.has_succeeded())
    result.failure = "the last server ended with wait status " + std::to_string(child.status()) + ": " + result.dump;
  return result;
}

void KillRig::run_server(const Server& server, const ImageFiles& files, uint64_t deadly, bool is_first) const {
  // What is wrong is told by exceptions; what is logged, of requests given up above all, is nothing for a test's
  // output.
  ::dup2(UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC)).get(), STDOUT_FILENO);
  const bool from_start = counts_from_start_ || !is_first;
  if (from_start) KillPoints::arm(deadly);
  server(files, [&] {
    if (!from_start) KillPoints::arm(deadly);
  });
  KillPoints::disarm();
}

}  // namespace ztmpfs
