#pragma once

#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/crash/kill_requests.h"
#include "tests/fs/fs_rig.h"
#include "tests/support/fake_caller.h"

namespace ztmpfs {

/// An operation and the image that it meets.
struct KillScenario {
  static constexpr Bytes kBlockSize = 8 * kKiB;
  static ImageGeometry geometry() {
    return {.capacity = 64 * kMiB, .block_size = kBlockSize, .request_slots = 1, .request_buffer_size = 18 * kPageSize};
  }

  std::string name;  ///< of the test
  /// Makes what the request is about.
  std::function<KillRequest(FsRig&)> prepare;
  int error = 0;  ///< that it is answered with
  bool is_answered = true;
  Bytes logical = 0;             ///< the volume's cap on contents, 0 for none
  bool is_settled = false;       ///< before images are compared: a block may be open or not
  bool has_exact_blocks = true;  ///< false: how much of a large file is freed at once may differ
  /// Requests whose outcomes are as good: a READDIRPLUS that is killed may tell of fewer entries.
  std::function<std::vector<KillRequest>(const KillRequest&)> alternatives{};

  friend std::ostream& operator<<(std::ostream& stream, const KillScenario& scenario) {
    return stream << scenario.name;
  }
};

/// A file that is looked up once; its contents are not sealed.
uint64_t file_in(FsRig& rig, uint64_t parent, std::string_view name, std::string_view contents = {});

std::span<const KillScenario> names_that_come();
std::span<const KillScenario> names_that_go();
std::span<const KillScenario> renames();
std::span<const KillScenario> writes();
std::span<const KillScenario> cuts();
std::span<const KillScenario> ranges();
std::span<const KillScenario> copies();
std::span<const KillScenario> attributes();
std::span<const KillScenario> failures();

}  // namespace ztmpfs
