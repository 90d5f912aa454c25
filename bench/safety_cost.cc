// What the safety costs: the instructions of requests that change the tree, counted one by one (ptrace(2)), since
// virtual machines seldom have counters for that. Those of the kernel are not counted. Built twice, see CMakeLists.txt;
// bench/safety compares. Lines of output: layer, request, how often, instructions in all. Exit status 77 where a
// process may not be traced.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fs/volume.h"
#include "fuse/reader.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr int kNotPossible = 77;
constexpr int kWarmUp = 40;

// Where the traced process says what is to be counted now; the other one looks after each instruction.
struct Meter {
  struct Count {
    char layer[8];
    char request[16];
    uint64_t times;
    uint64_t instructions;
  };
  volatile size_t current;  // which of the counts; 0 for none
  std::array<Count, 16> counts;
};

// The same rounds of requests, to the tree and by way of libfuse.
class Rounds {
 public:
  Rounds(Meter& meter, int connection, int kernel_end)
      : meter_(meter),
        kernel_end_(kernel_end),
        volume_(ImageFiles::create(geometry()), options(), clock_),
        reader_(connection, volume_.image(), 0, volume_.fs(), hooks_) {
    fuse_init_in init{};
    init.major = FUSE_KERNEL_VERSION;
    init.minor = FUSE_KERNEL_MINOR_VERSION;
    reader_.initialize(make_request(FUSE_INIT, 0, bytes_of(init)));
  }

  void run(int count) {
    for (int i = 0; i < kWarmUp + count; ++i) {
      is_counted_ = i >= kWarmUp;
      if (i == kWarmUp) ::raise(SIGSTOP);
      run_on_tree();
      run_by_libfuse();
    }
  }

 private:
  static ImageGeometry geometry() {
    return {.capacity = kGiB, .request_slots = 1, .request_buffer_size = 36 * kPageSize};
  }
  static VolumeOptions options() {
    VolumeOptions options;
    options.count_heaps = false;
    return options;
  }
  template <class T>
  static std::string bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof(value)};
  }

  void begin(size_t number, std::string_view layer, std::string_view request) {
    if (!is_counted_ || number == 0) return;
    Meter::Count& count = meter_.counts[number];
    layer.copy(count.layer, sizeof(count.layer) - 1);
    request.copy(count.request, sizeof(count.request) - 1);
    ++count.times;
    meter_.current = number;
  }
  void end(bool is_well) {
    meter_.current = 0;
    if (!is_well) ::_exit(1);
  }

  template <class Request>
  auto call(size_t number, std::string_view name, Request&& request) {
    begin(number, "tree", name);
    Operation op(volume_.image(), request_record(volume_.image(), 0), {});
    auto result = request(op);
    op.end();
    end(result.has_value());
    return result;
  }

  void run_on_tree() {
    FileSystem& fs = volume_.fs();
    const auto first = call(1, "create", [&](Operation& op) { return fs.create(op, kRoot, "file.o", 0644, true); });
    call(2, "rename", [&](Operation& op) { return fs.rename(op, kRoot, "file.o", kRoot, "file", 0); });
    const auto other = call(0, "", [&](Operation& op) { return fs.create(op, kRoot, "other", 0644, true); });
    call(3, "rename over", [&](Operation& op) { return fs.rename(op, kRoot, "other", kRoot, "file", 0); });
    forget(first->ino);
    forget(other->ino);
    call(4, "unlink", [&](Operation& op) { return fs.unlink(op, kRoot, "file"); });
  }

  void run_by_libfuse() {
    const fuse_create_in create{
        .flags = O_CREAT | O_EXCL | O_RDWR, .mode = S_IFREG | 0644, .umask = 0, .open_flags = 0};
    const fuse_rename_in rename{.newdir = kRoot};
    const std::string end(1, '\0');
    const uint64_t first = send(5, "create", FUSE_CREATE, bytes_of(create) + "file.o" + end);
    send(6, "rename", FUSE_RENAME, bytes_of(rename) + "file.o" + end + "file" + end);
    const uint64_t other = send(0, "", FUSE_CREATE, bytes_of(create) + "other" + end);
    send(7, "rename over", FUSE_RENAME, bytes_of(rename) + "other" + end + "file" + end);
    forget(first);
    forget(other);
    send(8, "unlink", FUSE_UNLINK, "file" + end);
  }

  void forget(uint64_t ino) {
    Operation op(volume_.image(), request_record(volume_.image(), 0), {});
    const Forget item{ino, 1};
    volume_.fs().forget(op, std::span(&item, 1));
    op.end();
  }

  static std::vector<std::byte> make_request(uint32_t opcode, uint64_t nodeid, std::string_view argument) {
    fuse_in_header header{};
    header.len = uint32_t(sizeof(header) + argument.size());
    header.opcode = opcode;
    header.unique = 2;
    header.nodeid = nodeid;
    const std::string bytes = bytes_of(header).append(argument);
    const auto view = std::as_bytes(std::span(bytes));
    return {view.begin(), view.end()};
  }
  // The number of the inode that the reply tells, if it tells one.
  uint64_t send(size_t number, std::string_view name, uint32_t opcode, std::string_view argument) {
    const auto request = make_request(opcode, kRoot, argument);
    if (::send(kernel_end_, request.data(), request.size(), 0) < 0) ::_exit(1);
    begin(number, "request", name);
    reader_.process(reader_.receive());
    end(true);
    std::array<char, 1024> reply{};
    const ssize_t length = ::recv(kernel_end_, reply.data(), reply.size(), MSG_DONTWAIT);
    fuse_out_header header{};
    std::memcpy(&header, reply.data(), sizeof(header));
    if (length < ssize_t(sizeof(header)) || header.error != 0) ::_exit(1);
    uint64_t ino = 0;
    std::memcpy(&ino, reply.data() + sizeof(header), sizeof(ino));
    return ino;
  }

  Meter& meter_;
  const int kernel_end_;
  const SystemClock clock_;
  const RequestHooks hooks_;
  Volume volume_;
  Reader reader_;
  bool is_counted_ = false;
};

[[noreturn]] void work(Meter& meter, int rounds) {
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(kNotPossible);
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()) != 0) ::_exit(1);
  Rounds(meter, ends[0], ends[1]).run(rounds);
  ::_exit(0);
}

// Lets the process go on to its first stop, then instruction by instruction. Its exit status.
int count(pid_t process, Meter& meter) {
  int status = 0;
  while (::waitpid(process, &status, 0) == process && WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP)
    ::ptrace(PTRACE_CONT, process, nullptr, WSTOPSIG(status));
  while (WIFSTOPPED(status)) {
    if (const size_t current = meter.current; current != 0) ++meter.counts[current].instructions;
    ::ptrace(PTRACE_SINGLESTEP, process, nullptr, nullptr);
    if (::waitpid(process, &status, 0) != process) return 1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace ztmpfs

int main(int argument_count, char** arguments) {
  using namespace ztmpfs;
  const int rounds = argument_count > 1 ? std::atoi(arguments[1]) : 10;
  void* memory = ::mmap(nullptr, sizeof(Meter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  Meter& meter = *static_cast<Meter*>(memory);
  // Two processes that wait for each other all the time are fastest on one CPU.
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(size_t(::sched_getcpu()), &cpus);
  ::sched_setaffinity(0, sizeof(cpus), &cpus);
  const pid_t process = ::fork();
  if (process == 0) work(meter, rounds);
  if (const int status = count(process, meter); status != 0) return status;
  for (const Meter::Count& each : meter.counts)
    if (each.times != 0)
      std::printf("%s\t%s\t%lu\t%lu\n", each.layer, each.request, static_cast<unsigned long>(each.times),
                  static_cast<unsigned long>(each.instructions));
}
