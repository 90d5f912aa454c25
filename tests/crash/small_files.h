#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/support/fake_caller.h"

namespace ztmpfs {

/// A client that keeps the pool fragmented: it fills a directory of its own with small files of a few sizes, whose
/// contents do not compress, removes many of them by chance, and fills it again; by a seed. Reads between. One thread.
class SmallFiles {
 public:
  SmallFiles(FakeKernel& kernel, uint64_t seed, std::string directory);

  /// Makes the directory.
  void begin();
  /// One file made or read, or several removed at once. Throws std::runtime_error with a sentence if anything is not as
  /// it must be.
  void step();
  /// Reads every file. As step().
  void verify();
  /// Removes everything and forgets every lookup.
  void clear();

  uint64_t operations() const { return operations_; }

 private:
  struct File {
    std::string name;
    uint64_t ino;
    uint64_t seed;  // its contents follow from it
  };

  void make_file();
  void remove_files(size_t count);
  void check_file(const File& file);
  void forget(std::span<const uint64_t> inodes);
  void expect(bool holds, const std::string& what) const;

  FakeKernel& kernel_;
  FakeCaller caller_;
  const uint64_t seed_;
  std::mt19937_64 random_;
  const std::string directory_name_;
  uint64_t directory_ = 0;
  std::vector<File> files_;
  uint64_t files_made_ = 0;
  uint64_t operations_ = 0;
};

}  // namespace ztmpfs
