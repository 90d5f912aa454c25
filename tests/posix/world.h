#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace ztmpfs {

/// On whose behalf an operation is made.
struct Identity {
  uint32_t uid;
  uint32_t gid;
  uint32_t group;  ///< one supplementary group
};

/// Users of a mixed run, root first. Two of them share a group.
inline constexpr Identity kIdentities[] = {{0, 0, 0}, {1001, 1001, 3001}, {1002, 1002, 3001}};

/// Makes the calling thread act as `identity` towards file systems (setfsuid(2)); root only.
void become(const Identity& identity);

/// One of the two file systems as one thread uses it: a working directory of its own, and open descriptors.
///
/// Both worlds of a run hold the same descriptors in the same slots; what an operation may do follows from the slots
/// and the seed alone.
class World {
 public:
  static constexpr size_t kSlots = 10;
  struct Slot {
    UniqueFd fd;
    bool is_directory = false;
  };

  /// Works in `directory`, which exists. `shared` is a directory that other threads work in too, in which the names of
  /// this one begin with `prefix`. Throws std::system_error.
  World(const std::string& directory, const std::string& shared, std::string prefix, bool is_reference);

  int root() const { return root_.get(); }
  int shared() const { return shared_.get(); }
  const std::string& prefix() const { return prefix_; }
  bool is_reference() const { return is_reference_; }
  std::array<Slot, kSlots>& slots() { return slots_; }

 private:
  UniqueFd root_;
  UniqueFd shared_;
  std::string prefix_;
  bool is_reference_;
  std::array<Slot, kSlots> slots_;
};

}  // namespace ztmpfs
