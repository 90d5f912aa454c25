// The place of fs/operation.h, see base/intent.h beside it: nothing tells what an operation came to.
#pragma once

#define Operation OperationWithOutcome
#include_next "fs/operation.h"
#undef Operation

namespace ztmpfs {

class Operation {
 public:
  Operation(const Image&, RequestRecord& record, Caller caller) : record_(record), caller_(caller) {}

  const Caller& caller() const { return caller_; }
  void set_umask(uint32_t umask) { caller_.umask = umask; }
  static bool has_outcome() { return false; }
  const Outcome& outcome() const { return record_.outcome; }
  Transaction begin() { return {record_.intent, nullptr}; }
  static void commit(Transaction&, const Outcome&) {}
  static void commit_progress(Transaction&, Outcome::Kind, uint64_t) {}
  static void end() {}
  static void set_parities(std::span<const IntentRecord::Store>, const Region&, std::byte*) {}

 private:
  RequestRecord& record_;
  Caller caller_;
};

}  // namespace ztmpfs
