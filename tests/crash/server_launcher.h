#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/image.h"
#include "base/unique_fd.h"
#include "fs/volume.h"
#include "tests/crash/compaction_tally.h"

namespace ztmpfs {

/// What a process found that attached to the image of a server that is gone.
struct ImageReport {
  std::string breaches;  ///< of audit(), one a line; empty if all invariants hold
  uint64_t inodes = 0;   ///< records in use
  uint64_t directories = 0;
  uint64_t orig_data_size = 0;  ///< bytes of file contents
  uint64_t pool_objects = 0;
  uint64_t memory = 0;  ///< bytes that the image takes
};

/// Starts server processes on one image and connection, and kills them. A small process of its own, without threads,
/// forks them; it is made before this process has any. A server reclaims memory all the time, by itself.
class ServerLauncher {
 public:
  /// Where durable records change. Those of compaction come last.
  enum class Step : uint8_t { kCommit, kAllocate, kFree, kTruncate, kSeal, kRelocate, kCompactStep, kDiscard };
  static constexpr uint8_t kSteps = 8;
  static constexpr uint8_t kCompactionSteps = 3;

  /// Forks the launching process. The files are duplicated; the descriptor is inherited.
  ServerLauncher(const ImageFiles& files, int connection, const VolumeOptions& options);
  /// Ends both processes.
  ~ServerLauncher();
  ServerLauncher(const ServerLauncher&) = delete;
  ServerLauncher& operator=(const ServerLauncher&) = delete;

  /// Starts a server. With `replies_before_death` not 0 it kills itself after so many replies, before the end of the
  /// last one's request; in three of four cases after a moment, in which the other reader goes on.
  void start(uint32_t replies_before_death);
  /// Kills the server with SIGKILL. Throws std::runtime_error if it had died otherwise, with what it said.
  void kill();
  /// As kill(), so many microseconds after a compaction has begun, or at once if none begins within some milliseconds.
  void kill_within_compaction(uint32_t microseconds);
  /// Waits for a server that kills itself; as kill() after a quarter of a minute.
  void await_death();
  /// Starts a server and kills it so many instructions after it has entered the step, or after some seconds. As kill().
  void start_and_kill_within(Step step, uint32_t instructions);
  /// Attaches to the image, with no server running. If `purge`, what is to be freed is freed first.
  ImageReport inspect(bool purge);
  const CompactionTally& tally() const { return tally_; }

 private:
  std::string call(char command, uint32_t number, Step step = Step::kCommit);

  const CompactionTally tally_;
  UniqueFd control_;
  pid_t launcher_ = -1;
};

}  // namespace ztmpfs
