#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/durable_store.h"
#include "base/image.h"
#include "base/intent.h"
#include "fs/attr.h"

namespace ztmpfs {

/// Who asks.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t umask = 0;  ///< for what is made in directories without a default ACL
  uint32_t pid = 0;    ///< the thread's, 0 if it is not visible to us

  /// Whether `group` is one of the caller's. Reads /proc unless it is `gid`; false if that cannot be told.
  bool is_in_group(uint32_t group) const;
};

/// What a request that changes something came to; enough to send its reply again. Durable.
struct Outcome {
  enum Kind : uint32_t {
    kNone,
    kDone,   ///< success without a value
    kAttr,   ///< `attr`
    kCount,  ///< `value`: bytes written
    kBytes,  ///< `value`: so many bytes of the reply stand in the reply part of the request's buffer (READDIRPLUS)
    kItems,  ///< `value`: so many items or bytes are done (BATCH_FORGET, COPY_FILE_RANGE); there may be more to do
    kError,  ///< `value`: an errno; nothing was changed. Recorded by the transport: what failed must not succeed later
  };
  uint32_t kind;
  uint32_t unused;
  uint64_t value;
  Attr attr;
};

/// The durable state of one reader's request: its intent, its outcome, how often it was tried after a crash.
/// The outcome is valid exactly while the intent's state is not IDLE. Lies in RegionId::kRequests.
struct RequestRecord {
  IntentRecord intent;
  Outcome outcome;
  std::atomic<uint32_t> attempts;
  uint32_t unused;
};
static_assert(sizeof(RequestRecord) <= 2 * kPageSize, "image.cc sizes the region");

/// The record of one reader.
RequestRecord& request_record(const Image& image, uint32_t slot);

/// One request on its way through the FileSystem: who asks, and where its intent and outcome are recorded.
/// Used by one thread.
class Operation {
 public:
  Operation(const Image& image, RequestRecord& record, Caller caller)
      : meta_base_(image.meta().base()), inodes_(image.region(RegionId::kInodes)), record_(record), caller_(caller) {}

  const Caller& caller() const { return caller_; }
  /// The decoder knows it, where the request tells it.
  void set_umask(uint32_t umask) { caller_.umask = umask; }
  /// True if the request was executed before a crash: its reply is made from outcome(), it is not executed again.
  bool has_outcome() const { return record_.intent.state.load(std::memory_order_acquire) != IntentRecord::kIdle; }
  const Outcome& outcome() const { return record_.outcome; }

  /// A transaction on this operation's intent.
  Transaction begin() { return Transaction(record_.intent, meta_base_); }
  /// Records what the kind of the outcome has, then commits: both are there after a crash, or neither.
  void commit(Transaction& transaction, const Outcome& outcome) {
    kill_point();  // without a commit it is no outcome
    record_.outcome.kind = outcome.kind;
    if (outcome.kind == Outcome::kAttr) {
      record_.outcome.attr = outcome.attr;
    } else {
      record_.outcome.value = outcome.value;
    }
    commit_with_parities(transaction);
  }
  /// For requests that are executed in many small steps: outcome().value advances together with each step.
  void commit_progress(Transaction& transaction, Outcome::Kind kind, uint64_t value) {
    kill_point();
    if (!has_outcome()) {
      record_.outcome.kind = kind;
      record_.outcome.value = 0;
    }
    transaction.set(record_.outcome.value, value);
    commit_with_parities(transaction);
  }
  /// The request is answered; its record is free for the next one.
  void end() {
    durable_store(record_.attempts, 0);
    durable_store(record_.intent.state, IntentRecord::kIdle);
  }

  /// Gives the inodes that stores have changed the parity that they have now, but for those in `but`. For who has done
  /// such stores.
  static void set_parities(std::span<const IntentRecord::Store> stores, const Region& inodes, std::byte* meta_base,
                           std::span<const uint64_t> but = {});

 private:
  // Records that a transaction makes inodes of, by number.
  struct NewInodes {
    std::array<uint64_t, 4> indices;
    size_t count = 0;
  };

  void commit_with_parities(Transaction& transaction);
  NewInodes set_parities_of_new(std::span<const IntentRecord::Store> stores) const;

  std::byte* meta_base_;
  Region inodes_;
  RequestRecord& record_;
  Caller caller_;
};

}  // namespace ztmpfs
