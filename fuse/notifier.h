#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace ztmpfs {

/// Tells the kernel that attributes which it keeps for ever are out of date (linux/fuse.h, FUSE_NOTIFY_INVAL_INODE with
/// a negative offset: attributes only).
///
/// Of changes without a request of its own (st_blocks) it tells from a thread that serves no requests: a notification
/// sent by a handler could wait for that handler. Each inode at most once per interval, so many at a time.
///
/// Of a directory whose names have changed the kernel drops the attributes itself (fs/fuse/dir.c, fuse_dir_changed()),
/// but then takes older ones from a reply that a client comes to later: a listing of the directory above, above all.
/// Not once it was notified (fs/fuse/inode.c, fuse_reverse_inval_inode(): what was asked for before counts no more). So
/// the handler notifies if such a reply may be under way; the kernel needs no request of ours for that, since
/// directories have no pages.
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

  /// To be called before attributes are read for a reply, or under the lock of the inode. Any thread.
  void telling(uint64_t ino) {
    auto& untold = untold_of(ino);
    if (untold.load(std::memory_order_relaxed) == ino) untold.store(0, std::memory_order_relaxed);
  }
  /// To be called when names of a directory have changed, before the reply. Any thread.
  void directory_changed(uint64_t ino) {
    auto& untold = untold_of(ino);
    if (untold.load(std::memory_order_relaxed) == ino) return;
    untold.store(ino, std::memory_order_relaxed);
    notify(ino);
  }

 private:
  static constexpr size_t kUntoldMax = 4096;

  std::atomic<uint64_t>& untold_of(uint64_t ino) { return untold_[ino % kUntoldMax]; }

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
  // Inodes whose attributes no reply has told since the kernel was notified. One that is not here may have been told.
  std::array<std::atomic<uint64_t>, kUntoldMax> untold_{};
};

}  // namespace ztmpfs
