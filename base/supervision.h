#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace ztmpfs {

/// How the last server of a mount ended, as far as its holder can tell.
enum class ServerEnd : uint32_t {
  kNone,     ///< there was none yet
  kParked,   ///< it left by itself, at a request boundary
  kKilled,   ///< SIGKILL, by whomever
  kCrashed,  ///< another signal, or an exit that is no end
  kHung,     ///< its holder has killed it
};

/// What the holder and the servers of a mount tell each other, in the one page of the image that both map. Durable.
/// All zeros is the beginning. Times are of the kernel's monotonic clock; Clock::monotonic(), the coarse one, may be
/// some milliseconds behind.
struct SupervisionRecord {
  static constexpr size_t kSlotsMax = 32;

  // Stored by the holder.
  std::atomic<uint64_t> mounted_at;  ///< milliseconds
  std::atomic<uint64_t> server_restarts;
  std::atomic<uint64_t> oom_kills;  ///< of the restarts: the kernel has killed a process for want of memory meanwhile
  std::atomic<ServerEnd> last_end;
  /// 1: the connection has ended and the contents were kept: nobody knows any inode number any more. The next attach
  /// drops what belonged to the connection, then clears it. Stored by whoever sees the end first.
  std::atomic<uint32_t> is_connection_over;

  /// Milliseconds: how far apart the server's signs of life may be; 0: as far as the server likes.
  std::atomic<uint64_t> alive_interval;

  // Stored by the server.
  std::atomic<uint64_t> alive_at;  ///< milliseconds: the main thread's last sign of life
  struct alignas(64) Slot {
    std::atomic<uint64_t> request_started_at;  ///< milliseconds; 0: no request is under way
  };
  std::array<Slot, kSlotsMax> slots;
};
static_assert(sizeof(SupervisionRecord) <= kPageSize);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<ServerEnd>::is_always_lock_free);

/// A clock's time as it stands in the record.
inline uint64_t to_record(std::chrono::milliseconds time) { return uint64_t(time.count()); }

}  // namespace ztmpfs
