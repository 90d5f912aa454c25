#pragma once

#include <condition_variable>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace ztmpfs {

/// Tells the kernel that attributes of inodes (st_blocks) changed without a request of its own, from a thread that
/// serves no requests: a notification sent by a handler could wait for that handler (linux/fuse.h, FUSE_NOTIFY_
/// INVAL_INODE with a negative offset: attributes only). Each inode at most once per interval, so many at a time.
class Notifier {
 public:
  /// Borrows the connection.
  explicit Notifier(int fd) : fd_(fd) {}
  ~Notifier() { stop(); }
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Starts the thread.
  void start();
  /// Tells what is still to be told, then ends the thread: the connection may go on with another server.
  void stop();
  /// Any thread; never blocks for long.
  void attributes_changed(uint64_t ino);

 private:
  void run();
  /// The next batch, sorted and without repetitions; empty: the thread is to end.
  std::vector<uint64_t> wait_for_batch();
  void notify(uint64_t ino) const;

  const int fd_;
  Mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<uint64_t> inodes_ GUARDED_BY(mutex_);
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ztmpfs
