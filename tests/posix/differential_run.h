#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "tests/posix/call.h"
#include "tests/posix/operations.h"

namespace ztmpfs {

/// What a run does.
struct RunOptions {
  std::string ours;
  std::string reference;
  uint64_t seed = 1;
  uint64_t operations = 1000;
  uint64_t stop_at = UINT64_MAX;  ///< the last operation; the trees stay
  bool is_verbose = false;
  std::set<std::string, std::less<>> without;  ///< kinds of operations
  CallOptions call;
};

/// The operations of one seed and thread, each on both file systems and compared.
class DifferentialRun {
 public:
  /// Works below the options' directories in one of its own, and in one that the threads of the seed share. Throws
  /// std::system_error.
  DifferentialRun(const RunOptions& options, unsigned thread);

  /// False if there was a difference that is not meant; it has been printed then.
  bool run();
  /// Compares the trees, attributes and bytes.
  bool compare_trees();
  /// Removes the trees. False if that cannot be done.
  bool remove_trees();

 private:
  bool step(uint64_t number);
  bool judge(uint64_t number, std::string_view operation, const Trace& ours, const Trace& reference);
  void print_hint(uint64_t number) const;

  const RunOptions& options_;
  unsigned thread_;
  std::vector<OperationKind> kinds_;
  unsigned weight_ = 0;
  World ours_;
  World reference_;
  std::deque<std::string> history_;
};

}  // namespace ztmpfs
