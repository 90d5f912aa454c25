#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace ztmpfs {

/// What servers came to that compact while they are killed. In memory that outlives them: shared with every process
/// forked after it was made.
class CompactionTally {
 public:
  struct Figures {
    /// The server is in a compaction that has something to move. Set by the server, cleared before it starts.
    std::atomic<bool> is_under_way;
    std::atomic<uint64_t> pages_compacted;  ///< by all servers, but for the runs they died in
    std::atomic<uint64_t> kills_within;     ///< servers that died in a compaction
    std::atomic<uint64_t> kills_aimed;      ///< of those: so many instructions after one of its functions was entered
  };
  static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);

  CompactionTally() {
    void* memory = ::mmap(nullptr, sizeof(Figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap of a tally");
    figures_ = static_cast<Figures*>(memory);
  }
  ~CompactionTally() { ::munmap(figures_, sizeof(Figures)); }
  CompactionTally(const CompactionTally&) = delete;
  CompactionTally& operator=(const CompactionTally&) = delete;

  Figures* operator->() const { return figures_; }

 private:
  Figures* figures_;
};

}  // namespace ztmpfs
