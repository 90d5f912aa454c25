#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "base/mutex.h"

namespace ztmpfs {

/// The locks of all inodes: a fixed number of stripes, by inode number. The table as a whole is the capability that
/// the analysis knows; which stripes are held is the affair of InodeLockSet.
class CAPABILITY("mutex") InodeLockTable {
 public:
  static constexpr size_t kStripes = 1024;

 private:
  friend class InodeLockSet;
  std::array<SharedMutex, kStripes> stripes_;
};

/// Which lock of an inode an operation needs. Number 0 needs none.
struct InodeLock {
  enum Mode : uint8_t { kShared, kExclusive };
  uint64_t ino;
  Mode mode;
};

/// Holds the locks of up to four inodes, taken in ascending order of their stripes: so that any two operations that
/// lock their sets at once cannot wait for each other.
class SCOPED_CAPABILITY InodeLockSet {
 public:
  static constexpr size_t kInodesMax = 4;

  InodeLockSet(InodeLockTable& table, std::initializer_list<InodeLock> inodes) ACQUIRE(table);
  ~InodeLockSet() RELEASE();
  InodeLockSet(const InodeLockSet&) = delete;
  InodeLockSet& operator=(const InodeLockSet&) = delete;

 private:
  struct Held {
    SharedMutex* stripe;
    InodeLock::Mode mode;
  };

  std::array<Held, kInodesMax> held_;
  size_t count_ = 0;
};

}  // namespace ztmpfs
