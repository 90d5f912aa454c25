#include "tests/crash/kill_points.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "base/check.h"
#include "base/durable_store.h"

namespace ztmpfs {

namespace {

struct Shared {
  std::atomic<bool> is_armed = false;
  std::atomic<uint64_t> passed = 0;
  std::atomic<uint64_t> deadly = 0;
};

Shared& make_shared_memory() {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ZTMPFS_CHECK(memory != MAP_FAILED, "no memory to share");
  return *new (memory) Shared;
}

// A kill point knows no object that it could ask: so there is one for the process, made before it has children.
Shared& shared = make_shared_memory();

}  // namespace

void KillPoints::arm(uint64_t deadly) {
  shared.passed = 0;
  shared.deadly = deadly;
  shared.is_armed = true;
}

void KillPoints::disarm() { shared.is_armed = false; }

uint64_t KillPoints::passed() { return shared.passed; }

void kill_point() {
  if (!shared.is_armed || ++shared.passed != shared.deadly) return;
  ::kill(::getpid(), SIGKILL);
  while (true) ::pause();
}

}  // namespace ztmpfs
