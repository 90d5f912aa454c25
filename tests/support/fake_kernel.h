#pragma once

#include <linux/fuse.h>

#include <condition_variable>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/unique_fd.h"

namespace ztmpfs {

/// The argument of FUSE_INIT as a kernel of protocol FUSE_KERNEL_MINOR_VERSION sends it that can do everything.
std::vector<std::byte> init_argument();

/// Whether the reply to it is an entry, with which the kernel counts a lookup.
bool gives_entry(uint32_t opcode);

/// The kernel's end of a FUSE connection, without a mount: a SOCK_SEQPACKET pair that speaks the protocol. Requests may
/// be sent by many threads; replies are matched by their unique, and as in the kernel a reply to a request that nobody
/// waits for is dropped. Keeps the lookup counts that the kernel would. Thread-safe.
class FakeKernel {
 public:
  struct Reply {
    int error = 0;  ///< errno, positive
    std::vector<std::byte> body;
  };

  /// What the socket takes as one message limits requests: use images with request buffers of kBufferSize.
  static constexpr size_t kTransferMax = 128 * 1024;
  static constexpr size_t kBufferSize = kTransferMax + 2 * 4096;

  FakeKernel();
  ~FakeKernel();
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  /// The server's end; stays open as long as this, whoever dies at it.
  int server_fd() const { return server_end_.get(); }
  /// Starts to take replies; before it the process has no thread of ours and may fork.
  void start();
  /// The server reads the end of the connection, and no reply is taken any more.
  void disconnect();

  /// Builds a request with a new unique.
  std::vector<std::byte> make_request(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument);
  /// Sends a request as it stands; its reply can be waited for. Its unique.
  uint64_t send(std::span<const std::byte> request);
  uint64_t send(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument);
  /// As if the request had been sent, and read by a server that has died. Its unique.
  uint64_t expect(std::span<const std::byte> request);
  /// Sends bytes that nobody waits for.
  void send_raw(std::span<const std::byte> bytes);
  /// Waits for the reply. Throws std::runtime_error after a minute.
  Reply wait(uint64_t unique);
  Reply call(uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument);
  /// FUSE_INIT as a kernel of protocol 7.38 sends it that can do everything.
  Reply init();

  /// Lookups of each inode that replies gave and forget() did not take back.
  std::map<uint64_t, uint64_t> lookups() const;
  uint64_t lookups_of(uint64_t nodeid) const;
  /// Sends FORGET, or BATCH_FORGET if `batch`; the lookups must have been given.
  void forget(std::span<const fuse_forget_one> items, bool batch);

  /// Replies that came for requests already answered.
  uint64_t late_replies() const;
  /// Late replies that differ from the first one although the request changed something: sentences.
  std::vector<std::string> contradictions() const;
  /// FUSE_NOTIFY_RESEND notifications that came.
  uint64_t resend_notifications() const;
  /// Inodes of FUSE_NOTIFY_INVAL_INODE notifications that came.
  std::vector<uint64_t> invalidated() const;

 private:
  struct Request {
    uint32_t opcode;
    std::optional<Reply> reply;
    bool is_taken = false;
  };

  void receive();
  void take_message(std::span<const std::byte> message) REQUIRES(mutex_);
  void take_notification(const fuse_out_header& header, std::span<const std::byte> body) REQUIRES(mutex_);
  void take_late_reply(const Request& request, uint64_t unique, const Reply& reply) REQUIRES(mutex_);
  void count_lookups(uint32_t opcode, const Reply& reply) REQUIRES(mutex_);

  UniqueFd kernel_end_;
  UniqueFd server_end_;
  std::thread receiver_;

  mutable Mutex mutex_;
  std::condition_variable_any answered_;
  uint64_t last_unique_ GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Request> requests_ GUARDED_BY(mutex_);  // the last thousands
  std::map<uint64_t, uint64_t> lookups_ GUARDED_BY(mutex_);
  uint64_t late_replies_ GUARDED_BY(mutex_) = 0;
  uint64_t resend_notifications_ GUARDED_BY(mutex_) = 0;
  std::vector<std::string> contradictions_ GUARDED_BY(mutex_);
  std::vector<uint64_t> invalidated_ GUARDED_BY(mutex_);
};

}  // namespace ztmpfs
