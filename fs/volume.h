#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/image.h"
#include "base/memory_budget.h"
#include "compress/codec_set.h"
#include "fs/filesystem.h"
#include "reclaim/reclaimer.h"

namespace ztmpfs {

struct VolumeOptions {
  Bytes size = kGiB;          ///< cap on all memory
  Bytes logical = 0;          ///< cap on file contents before compression; 0 is none
  Bytes hot = 0;              ///< may sit uncompressed; 0 chooses min(256 MiB, size / 8)
  Bytes free_span_stock = 0;  ///< of freed spans kept resident; 0 chooses min(64 MiB, 2 % of size)
  std::chrono::milliseconds cold_age{1000};
  /// For what settles in the background; what cannot wait is compressed with lz4 first, unless this is "none".
  CodecChoice codec{CodecId::kZstd, 3};
  /// Where the codec ends in each file; what lies behind keeps lz4. 0: nowhere.
  uint64_t codec_end = 0;
  uint32_t workers = 1;  ///< background threads
  /// kPrivate: for an audit that changes nothing.
  ImageAccess access = ImageAccess::kShared;
  /// Count the heaps and stacks of the server and the holder. Off for tests in processes that hold other things too.
  bool count_heaps = true;
  FileSystemOptions root;
};

/// The part of the cap that keeps deleting possible: contents stop before it.
Bytes memory_reserve(Bytes size);

/// All figures of a volume, for `stats`.
struct VolumeStats {
  BlockStoreStats store;
  PoolStats pool;
  std::vector<SizeClassStats> classes;
  Bytes mem_used_total;  ///< image pages really allocated + anonymous memory of the processes
  Bytes mem_used_max;
  Bytes mem_limit;
  Bytes hot_limit;  ///< may sit uncompressed
  Bytes metadata_bytes;
  uint64_t write_back_failures;
  ReclaimStats reclaim;
  uint64_t files;
  uint64_t directories;
};

/// An image and everything built on it, from the memory budget up to the tree, in dependency order, with the background
/// threads that seal cold blocks and purge removed files, and with what gives memory back on request. What the daemon
/// serves and what tests run on.
class Volume {
 public:
  /// Attaches to the image, fresh or not. Throws std::runtime_error if it cannot be trusted. `holder` is the pid of
  /// the process whose memory counts besides our own, 0 for none. The clock outlives the volume.
  Volume(ImageFiles files, const VolumeOptions& options, const Clock& clock, pid_t holder = 0);
  ~Volume();

  const Image& image() const;
  FileSystem& fs();
  BlockStore& store();
  Pool& pool();
  MemoryBudget& budget();
  /// Its shrinkers are those of volume_shrinkers(). Not to be run in a thread that is in a call of fs().
  Reclaimer& reclaimer();
  /// Changes the cap on all memory and the hot limit (0: what VolumeOptions::hot chooses then); reserve and stock of
  /// free spans follow from the cap. If more is taken (promises too) than a lower cap grants contents, that much is
  /// reclaimed first; false, and nothing changed, if it cannot be. As reclaimer(); one thread at a time.
  [[nodiscard]] bool try_set_limits(Bytes size, Bytes hot);
  /// Compacts the pool until no more pages can be freed; what `ztmpfsctl compact` asks for. As reclaimer().
  ReclaimReport compact();

  /// Starts the background threads. Never before a fork.
  void start();
  /// Stops and joins them. Also done by the destructor.
  void stop();
  /// Seals and compresses every block and frees everything that is to be freed, now, in this thread.
  void settle();
  /// Makes the image as small as its contents, for one that is kept without a server: settle(), compaction, and the
  /// stock of free spans goes back to the OS. With the background threads stopped nothing is left over.
  void shrink_to_contents();
  /// Called from a background thread, without locks, with inodes whose st_blocks changed because contents were sealed.
  /// Set before start().
  void set_on_settled(std::function<void(uint64_t ino)> on_settled);
  /// Measures what no counter of ours sees (heap and stacks) and charges it to the budget.
  void measure_overhead();
  VolumeStats stats() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace ztmpfs
