#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/image.h"
#include "fs/filesystem.h"
#include "fs/operation.h"
#include "fuse/latency_recorder.h"
#include "fuse/notifier.h"
#include "fuse/request_check.h"
#include "fuse/request_slot.h"

struct fuse_session;

namespace ztmpfs {

/// For tests: what to call at points of a request's life. Both may be empty; they run in the reader's thread.
struct RequestHooks {
  std::function<void(uint32_t opcode)> before_execute;  ///< in the handler's guard: may throw as the tree could
  std::function<void(uint32_t opcode)> after_reply;     ///< between the reply, if any, and the end of the request
};

/// Reads requests from the connection into its slot of the image, has libfuse decode them, and sees to it that each
/// gets exactly one reply. Used by one thread at a time.
///
/// Each reader has a libfuse session of its own: sessions share nothing, so no lock is taken per request, and the
/// handlers find their reader as the session's user data.
class Reader {
 public:
  /// Borrows all but `fd`, of which it keeps a duplicate. Throws std::runtime_error if libfuse refuses.
  Reader(int fd, const Image& image, uint32_t slot, FileSystem& fs, const RequestHooks& hooks,
         const RequestFeatures& features = {});
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// Has the session process a FUSE_INIT request of at most ReaderRecord::kInitMax bytes, and returns what that comes
  /// to. Nothing is sent: a connection begins but once. Throws std::runtime_error if the protocol does not fit.
  Negotiation initialize(std::span<const std::byte> init);
  /// Answers the FUSE_INIT request in the slot.
  void answer_init(const Negotiation& negotiation);

  /// The calling thread is the one that receives from now on. Any signal but one may be blocked in it.
  void enter_thread();
  /// Waits for a request and reads it into the slot. Its length; 0 when the connection has ended, or after stop().
  size_t receive();
  /// Has receive() return 0 from now on, without a request taken from the kernel; one that was read is still returned.
  /// Any thread. False while a thread may still wait in receive(): it was sent a signal, which it misses if it comes
  /// just before it waits. So call it again, a little later.
  [[nodiscard]] bool stop();
  /// Whether receive() has met the end of the connection.
  bool has_connection_ended() const { return has_connection_ended_; }
  /// Answers the request in the slot, whatever it is, and finishes it.
  void process(size_t length);
  /// Finishes a request that a former server left in the slot; without executing it if that is tried for the
  /// `attempts_max`th time, since it ended the server each time.
  void process_again(uint32_t attempts_max);

  /// Who tells the kernel what answers do not. Borrowed; set before requests. Without one it is not told.
  void set_notifier(Notifier& notifier) { notifier_ = &notifier; }

  const RequestSlot& slot() const { return slot_; }
  /// When the request in the slot was read.
  std::chrono::steady_clock::time_point began_at() const { return began_at_; }
  /// From then to the answer, of all requests that count (request_counts.h).
  const LatencyRecorder& latencies() const { return latencies_; }

  // For the handlers (operations.cc).
  FileSystem& fs() const { return fs_; }
  Operation& operation() { return *operation_; }
  const RequestHooks& hooks() const { return hooks_; }
  bool has_replied() const { return has_replied_; }
  const RequestFeatures& features() const { return features_; }
  /// Attributes changed without the answer telling so. See Notifier, also for the other two.
  void note_attributes_changed(uint64_t ino) const {
    if (notifier_ != nullptr) notifier_->attributes_changed(ino);
  }
  void note_telling(uint64_t ino) const {
    if (notifier_ != nullptr) notifier_->telling(ino);
  }
  void note_directory_changed(uint64_t ino) const {
    if (notifier_ != nullptr) notifier_->directory_changed(ino);
  }
  /// The session has taken our settings.
  void note_initialized() { is_initialized_ = true; }

 private:
  struct SessionDeleter {
    void operator()(fuse_session* session) const;
  };

  size_t receive_next();
  /// From now on the holder can see that a request is under way, and since when; and not any more.
  void show_request();
  void hide_request() { started_at_.store(0, std::memory_order_relaxed); }
  void answer(size_t length, bool is_poisonous);
  void execute(size_t length);
  void reply_error(int error);
  /// Counts the request in the slot and takes note of how long it took, once.
  void note_answer();
  ssize_t send(const iovec* parts, int count);

  const Image& image_;
  const RequestSlot slot_;
  std::atomic<uint64_t>& started_at_;  // of the supervision record
  FileSystem& fs_;
  const RequestHooks& hooks_;
  RequestFeatures features_;
  std::unique_ptr<fuse_session, SessionDeleter> session_;
  int fd_;  // the session's duplicate
  Notifier* notifier_ = nullptr;
  std::optional<Operation> operation_;
  std::chrono::steady_clock::time_point began_at_;
  LatencyRecorder latencies_;
  pid_t thread_ = 0;                       // that receives
  std::atomic<pid_t> waiting_thread_ = 0;  // the same while it waits for a request, or is about to; else 0
  std::atomic<bool> is_stopped_ = false;
  bool has_connection_ended_ = false;
  bool has_replied_ = false;
  Negotiation* init_reply_ = nullptr;  // where the reply goes while the session processes FUSE_INIT
  bool is_initialized_ = false;
};

}  // namespace ztmpfs
