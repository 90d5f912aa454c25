// Locks of open files and of the process.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/posix/operations.h"

namespace ztmpfs {

namespace {

void flock_file(Call& call) {
  const size_t slot = call.slot();
  const int kind = call.random().pick({LOCK_SH, LOCK_EX, LOCK_UN, 17});
  call.describe("flock([{}], {})", slot, kind);
  call.begin();
  call.result("flock", ::flock(call.fd(slot), kind | LOCK_NB));
}

struct flock region(Call& call) {
  struct flock lock{};
  lock.l_type = call.random().pick<short>({F_RDLCK, F_WRLCK, F_UNLCK, 77});
  lock.l_whence = call.random().pick<short>({SEEK_SET, SEEK_SET, SEEK_SET, SEEK_END, SEEK_CUR});
  lock.l_start = call.random().chance(90) ? off_t(call.random().below(100)) : call.offset();
  lock.l_len = call.random().pick<off_t>({0, 1, 10, -5, 100});
  return lock;
}

void set_lock(Call& call) {
  const size_t slot = call.slot();
  struct flock lock = region(call);
  const int command = call.random().pick({F_OFD_SETLK, F_OFD_SETLK, F_SETLK});
  call.describe("fcntl([{}], {}, {} {} {}+{})", slot, command == F_SETLK ? "F_SETLK" : "F_OFD_SETLK", lock.l_type,
                lock.l_whence, lock.l_start, lock.l_len);
  call.begin();
  call.result("setlk", ::fcntl(call.fd(slot), command, &lock));
}

void get_lock(Call& call) {
  const size_t slot = call.slot();
  struct flock lock = region(call);
  const int command = call.random().pick({F_OFD_GETLK, F_GETLK});
  call.describe("fcntl([{}], {}, {} {} {}+{})", slot, command == F_GETLK ? "F_GETLK" : "F_OFD_GETLK", lock.l_type,
                lock.l_whence, lock.l_start, lock.l_len);
  call.begin();
  if (call.result("getlk", ::fcntl(call.fd(slot), command, &lock)) != 0) return;
  call.trace().add("lock", fmt::format("{} {} {}+{} {}", lock.l_type, lock.l_whence, lock.l_start, lock.l_len,
                                       lock.l_pid == ::getpid() ? "ours" : std::to_string(lock.l_pid)));
}

constexpr OperationKind kOperations[] = {{"flock", 8, flock_file}, {"setlk", 10, set_lock}, {"getlk", 6, get_lock}};

}  // namespace

std::span<const OperationKind> lock_operations() { return kOperations; }

}  // namespace ztmpfs
