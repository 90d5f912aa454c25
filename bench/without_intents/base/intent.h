// The place of base/intent.h in what bench/safety_cost measures against: each store happens where it is planned, and no
// trace of it is kept. A crash would leave half of an operation.
#pragma once

#define Transaction LoggedTransaction
#include_next "base/intent.h"
#undef Transaction

namespace ztmpfs {

class Transaction {
 public:
  Transaction(IntentRecord&, std::byte*) {}

  template <class T, class... More>
  void set(T& field, std::type_identity_t<T> value, More&&... more) {
    durable_store(field, value);
    if constexpr (sizeof...(more) > 0) set(std::forward<More>(more)...);
  }
  static std::span<const IntentRecord::Store> stores() { return {}; }
  template <class AfterStores>
  void commit(AfterStores&&) {}
  void commit() {}
};

}  // namespace ztmpfs
