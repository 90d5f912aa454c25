#include "fuse/notifier.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <sys/uio.h>

#include <algorithm>
#include <chrono>

namespace ztmpfs {

namespace {

// A file that is written to goes on changing; to tell of it later is enough.
constexpr std::chrono::milliseconds kInterval{100};
constexpr size_t kBatchMax = 4096;

}  // namespace

void Notifier::start() {
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "fuse-notifier");
}

void Notifier::stop() {
  if (!thread_.joinable()) return;
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Notifier::attributes_changed(uint64_t ino) {
  {
    MutexLock lock(mutex_);
    if (!inodes_.empty() && inodes_.back() == ino) return;
    inodes_.push_back(ino);
    if (inodes_.size() > 1) return;
  }
  changed_.notify_one();
}

void Notifier::run() {
  for (auto batch = wait_for_batch(); !batch.empty(); batch = wait_for_batch())
    for (const uint64_t ino : batch) notify(ino);
}

std::vector<uint64_t> Notifier::wait_for_batch() {
  MutexLock lock(mutex_);
  while (inodes_.empty() && !is_stopping_) changed_.wait(lock);
  // Collect what comes close behind, and keep a distance to the next batch.
  const auto deadline = std::chrono::steady_clock::now() + kInterval;
  while (!is_stopping_ && changed_.wait_until(lock, deadline) != std::cv_status::timeout) continue;
  std::sort(inodes_.begin(), inodes_.end());
  inodes_.erase(std::unique(inodes_.begin(), inodes_.end()), inodes_.end());
  const size_t rest = inodes_.size() - std::min(inodes_.size(), kBatchMax);
  std::vector<uint64_t> batch(inodes_.begin() + ptrdiff_t(rest), inodes_.end());
  inodes_.resize(rest);
  return batch;
}

void Notifier::notify(uint64_t ino) const {
  fuse_notify_inval_inode_out argument{.ino = ino, .off = -1, .len = 0};
  fuse_out_header header{.len = sizeof(header) + sizeof(argument), .error = FUSE_NOTIFY_INVAL_INODE, .unique = 0};
  const iovec parts[] = {{&header, sizeof(header)}, {&argument, sizeof(argument)}};
  // ENOENT: the kernel does not know the inode, or not any more. Nothing that fails here does harm.
  [[maybe_unused]] const ssize_t written = ::writev(fd_, parts, 2);
}

}  // namespace ztmpfs
