#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "base/check.h"
#include "base/durable_store.h"

namespace ztmpfs {

/// Stores that must all happen or none, logged as absolute new values (a redo record). Durable, one per reader.
///
/// IDLE -> COMMITTED -> APPLIED -> (reply) -> IDLE. All locks that cover the records are held from before COMMITTED
/// until APPLIED is stored: so COMMITTED intents never overlap and recovery may apply them in any order.
/// A state other than IDLE also says that the outcome stored beside the intent is valid.
struct IntentRecord {
  /// No two of them differ in one bit only: a damaged state is found.
  enum State : uint32_t { kIdle = 0, kCommitted = 3, kApplied = 5 };
  static constexpr size_t kStoresMax = 48;

  struct Store {
    uint32_t width;  ///< bytes: 4 or 8
    uint32_t unused;
    uint64_t offset;  ///< from the start of the metadata memfd
    uint64_t value;
  };

  std::atomic<uint32_t> state;
  uint32_t count;
  uint64_t check;  ///< checksum(), set before COMMITTED
  std::array<Store, kStoresMax> stores;

  /// Does the stores. Idempotent. The intent is intact.
  void apply(std::byte* meta_base) const;
  /// Of `count` stores, at most kStoresMax.
  uint64_t checksum() const;
  /// Attach only: whether a committed intent is as it was written, and stores nothing outside of the `meta_length`
  /// bytes, nor into the header.
  bool is_intact(uint64_t meta_length) const;
};

/// Collects the stores of one intent, then commits and applies them.
class Transaction {
 public:
  /// `meta_base` is where the metadata memfd is mapped; every field set must lie in it.
  Transaction(IntentRecord& intent, std::byte* meta_base) : intent_(intent), meta_base_(meta_base) {
    ZTMPFS_CHECK(intent.state.load(std::memory_order_relaxed) != IntentRecord::kCommitted, "an intent is open");
    kill_point();  // the plan is read only once it is committed
    intent.count = 0;
  }

  /// Plans `field = value`. The caller holds the lock that covers the field until commit() has returned.
  template <class T>
  void set(T& field, std::type_identity_t<T> value) {
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    add(reinterpret_cast<std::byte*>(&field), sizeof(T), static_cast<uint64_t>(value));
  }

  /// What is planned so far; valid until the next set().
  std::span<const IntentRecord::Store> stores() const { return std::span(intent_.stores).first(intent_.count); }

  /// The point of no return: after it the stores happen, in this process or in its successor.
  void commit();

 private:
  void add(std::byte* field, uint32_t width, uint64_t value);

  IntentRecord& intent_;
  std::byte* meta_base_;
};

}  // namespace ztmpfs
