#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

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

  /// Small, since each change pays for it: fields are aligned to 4 bytes, so the lowest bit of their offset is free.
  struct Store {
    uint64_t target;  ///< offset from the start of the metadata memfd; plus 1: the store is of 8 bytes, else of 4
    uint64_t value;

    uint64_t offset() const { return target & ~uint64_t(1); }
    uint32_t width() const { return (target & 1) != 0 ? 8 : 4; }
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
  }

  /// Plans `field = value`, for as many pairs of them as there are. The caller holds the lock that covers the fields
  /// until commit() has returned.
  template <class T, class... More>
  void set(T& field, std::type_identity_t<T> value, More&&... more) {
    IntentRecord::Store* const first = next_;
    next_ += 1 + sizeof...(more) / 2;
    if (next_ > intent_.stores.end()) [[unlikely]]
      fail_full();
    plan(first, field, value, std::forward<More>(more)...);
  }

  /// What is planned so far; valid until the next set().
  std::span<const IntentRecord::Store> stores() const { return {intent_.stores.data(), next_}; }

  /// The point of no return: after it the stores happen, in this process or in its successor. `after_stores()` is
  /// called between them and APPLIED: for what follows from them, and what the successor makes anew.
  template <class AfterStores>
  void commit(AfterStores&& after_stores) {
    begin_commit();
    after_stores();
    end_commit();
  }
  void commit() {
    commit([] {});
  }

 private:
  [[noreturn]] static void fail_full();
  void begin_commit();
  void end_commit();

  template <class T, class... More>
  void plan(IntentRecord::Store* store, T& field, std::type_identity_t<T> value, More&&... more) {
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
    const auto offset = uint64_t(reinterpret_cast<std::byte*>(&field) - meta_base_);
    *store = {offset + (sizeof(T) == 8 ? 1 : 0), static_cast<uint64_t>(value)};
    if constexpr (sizeof...(more) > 0) plan(store + 1, std::forward<More>(more)...);
  }

  IntentRecord& intent_;
  std::byte* const meta_base_;
  IntentRecord::Store* next_ = intent_.stores.begin();
};

}  // namespace ztmpfs
