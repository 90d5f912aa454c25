// Contents through descriptors and mappings.
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

// Data that was read: how much, then what.
void add_data(Call& call, std::string_view label, std::string& buffer, ssize_t length) {
  if (call.result(label, length) < 0) return;
  buffer.resize(size_t(length));
  call.trace().add(std::string(label) + ".data", buffer);
}

void read(Call& call) {
  const size_t slot = call.slot();
  std::string buffer(call.length(), '?');
  call.describe("read([{}], {})", slot, buffer.size());
  call.watch("file", call.fd(slot));
  call.begin();
  add_data(call, "read", buffer, ::read(call.fd(slot), buffer.data(), buffer.size()));
}

void pread(Call& call) {
  const size_t slot = call.slot();
  const int64_t offset = call.offset();
  std::string buffer(call.length(), '?');
  call.describe("pread([{}], {}, {})", slot, buffer.size(), offset);
  call.watch("file", call.fd(slot));
  call.begin();
  add_data(call, "pread", buffer, ::pread(call.fd(slot), buffer.data(), buffer.size(), offset));
}

void write(Call& call) {
  const size_t slot = call.slot();
  const std::string data = call.random().bytes(call.length());
  call.describe("write([{}], {} bytes)", slot, data.size());
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("write", ::write(call.fd(slot), data.data(), data.size()));
  call.result("position", ::lseek(call.fd(slot), 0, SEEK_CUR));
}

void pwrite(Call& call) {
  const size_t slot = call.slot();
  const int64_t offset = call.offset();
  const std::string data = call.random().bytes(call.length());
  call.describe("pwrite([{}], {} bytes, {})", slot, data.size(), offset);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("pwrite", ::pwrite(call.fd(slot), data.data(), data.size(), offset));
}

// The same bytes in up to three pieces.
std::array<iovec, 3> cut(std::string& data, Random& random) {
  const size_t first = random.below(data.size() + 1);
  const size_t second = first + random.below(data.size() - first + 1);
  return {{{data.data(), first}, {data.data() + first, second - first}, {data.data() + second, data.size() - second}}};
}

void readv(Call& call) {
  const size_t slot = call.slot();
  std::string buffer(call.length(), '?');
  const auto parts = cut(buffer, call.random());
  const int64_t offset = call.random().chance(50) ? -1 : call.offset();
  const int flags = call.random().pick({0, 0, 0, RWF_NOWAIT, RWF_HIPRI, 1 << 20});
  call.describe("preadv2([{}], {}+{}+{}, {}, {:#x})", slot, parts[0].iov_len, parts[1].iov_len, parts[2].iov_len,
                offset, flags);
  call.begin();
  add_data(call, "preadv2", buffer, ::preadv2(call.fd(slot), parts.data(), int(parts.size()), offset, flags));
}

void writev(Call& call) {
  const size_t slot = call.slot();
  std::string data = call.random().bytes(call.length());
  const auto parts = cut(data, call.random());
  const int64_t offset = call.random().chance(50) ? -1 : call.offset();
  const int flags = call.random().pick({0, 0, 0, RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_NOAPPEND, 1 << 20});
  call.describe("pwritev2([{}], {}+{}+{}, {}, {:#x})", slot, parts[0].iov_len, parts[1].iov_len, parts[2].iov_len,
                offset, flags);
  call.watch("file", call.fd(slot));
  call.begin();
  call.result("pwritev2", ::pwritev2(call.fd(slot), parts.data(), int(parts.size()), offset, flags));
}

void seek(Call& call) {
  const size_t slot = call.slot();
  const int64_t offset = call.offset();
  const int whence = call.random().pick({SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, 17});
  if ((call.world().slots()[slot]).is_directory) return;  // offsets of directories are opaque
  call.describe("lseek([{}], {}, {})", slot, offset, whence);
  call.begin();
  call.result("lseek", ::lseek(call.fd(slot), offset, whence));
}

thread_local sigjmp_buf bus_error;

void on_bus_error(int) { siglongjmp(bus_error, 1); }

// Touches the mapping: "SIGBUS" if that is the answer.
void touch(Call& call, char* mapping, size_t length, bool writes, const std::string& data) {
  struct sigaction action{};
  action.sa_handler = on_bus_error;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
  if (sigsetjmp(bus_error, 1) != 0) return call.trace().add("touch", "SIGBUS");
  if (writes) {
    std::memcpy(mapping, data.data(), length);
  } else {
    call.trace().add("mapped", std::string_view(mapping, length));
  }
  call.trace().add("touch", "done");
}

// What is written behind the end in the last page is nobody's (docs/posix.md): such bytes are left alone.
void map(Call& call) {
  constexpr size_t kPage = 4096;
  const size_t slot = call.slot();
  const off_t offset = off_t(kPage * call.random().below(20));
  const size_t wanted = 1 + call.random().below(3 * kPage);
  const bool is_shared = call.random().chance(60);
  const bool writes = call.random().chance(60);
  const std::string data = call.random().bytes(wanted);
  call.watch("file", call.fd(slot));
  call.describe("mmap([{}], {}, {}, {}, {})", slot, wanted, offset, is_shared ? "shared" : "private",
                writes ? "write" : "read");
  call.begin();
  struct stat status{};
  const bool is_known = ::fstat(call.fd(slot), &status) == 0 && S_ISREG(status.st_mode);
  const int protection = PROT_READ | (writes ? PROT_WRITE : 0);
  void* mapping = ::mmap(nullptr, wanted, protection, is_shared ? MAP_SHARED : MAP_PRIVATE, call.fd(slot), offset);
  call.result("mmap", mapping == MAP_FAILED ? -1 : 0);
  if (mapping == MAP_FAILED) return;
  const bool is_behind = status.st_size <= offset;
  const size_t length = is_behind ? wanted : size_t(std::min<off_t>(off_t(wanted), status.st_size - offset));
  if (is_known) touch(call, static_cast<char*>(mapping), length, writes, data);
  call.result("msync", ::msync(mapping, wanted, MS_SYNC));
  call.result("munmap", ::munmap(mapping, wanted));
  std::string buffer(3 * kPage, '?');
  add_data(call, "pread", buffer, ::pread(call.fd(slot), buffer.data(), buffer.size(), offset));
}

constexpr OperationKind kOperations[] = {
    {"read", 40, read},   {"pread", 30, pread},   {"write", 60, write}, {"pwrite", 60, pwrite},
    {"readv", 12, readv}, {"writev", 20, writev}, {"lseek", 25, seek},  {"mmap", 20, map},
};

}  // namespace

std::span<const OperationKind> io_operations() { return kOperations; }

}  // namespace ztmpfs
