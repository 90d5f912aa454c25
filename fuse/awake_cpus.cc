#include "fuse/awake_cpus.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "base/log.h"

namespace ztmpfs {

namespace {

constexpr int32_t kNoWish = -1;
constexpr long kCpusMax = 8;

// The idle driver of virtual machines: it gives the CPU to the hypervisor, and says that it would be back in 1 us.
bool has_halting_cpus() {
  const UniqueFd file(::open("/sys/devices/system/cpu/cpuidle/current_driver", O_RDONLY | O_CLOEXEC));
  std::array<char, 32> buffer{};
  const ssize_t length = file ? ::read(file.get(), buffer.data(), buffer.size()) : 0;
  return length > 0 && std::string_view(buffer.data(), size_t(length)) == "haltpoll\n";
}

}  // namespace

UniqueFd AwakeCpus::open_latency() {
  if (::sysconf(_SC_NPROCESSORS_ONLN) > kCpusMax || !has_halting_cpus()) return {};
  UniqueFd latency(::open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC));
  if (!latency) log(LogLevel::kDebug, "no right to keep idle CPUs awake");
  return latency;
}

void AwakeCpus::start() {
  if (!latency_) return;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "fuse-awake");
}

void AwakeCpus::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void AwakeCpus::note_request(Clock::time_point now) {
  if (!latency_) return;
  requests_.fetch_add(1, std::memory_order_relaxed);
  if (is_awake_.load(std::memory_order_relaxed)) return;
  if (in_row_ == 0 || now - first_ > kInterval) {
    first_ = now;
    in_row_ = 0;
  }
  if (++in_row_ < kBurst) return;
  in_row_ = 0;
  begin();
}

void AwakeCpus::begin() {
  {
    MutexLock lock(mutex_);
    if (is_stopping_) return;
    ask_for(0);
    is_awake_.store(true, std::memory_order_relaxed);
  }
  changed_.notify_one();
}

void AwakeCpus::run() {
  MutexLock lock(mutex_);
  while (!is_stopping_) {
    if (!is_awake_.load(std::memory_order_relaxed)) {
      changed_.wait(lock);
      continue;
    }
    const uint32_t before = requests_.load(std::memory_order_relaxed);
    const auto deadline = Clock::now() + kInterval;
    while (!is_stopping_ && changed_.wait_until(lock, deadline) != std::cv_status::timeout) continue;
    if (requests_.load(std::memory_order_relaxed) - before >= kBurst) continue;
    // In this order: requests noted from now on may be the next burst, which then waits for the mutex.
    is_awake_.store(false, std::memory_order_relaxed);
    ask_for(kNoWish);
  }
  if (is_awake_.load(std::memory_order_relaxed)) ask_for(kNoWish);
}

void AwakeCpus::ask_for(int32_t microseconds) const {
  if (::write(latency_.get(), &microseconds, sizeof(microseconds)) != sizeof(microseconds))
    log_limited(LogLevel::kDebug, "awake CPUs", "the kernel does not take a wish for idle CPUs that stay awake");
}

}  // namespace ztmpfs
