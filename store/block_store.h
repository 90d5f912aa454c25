#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/durable_table.h"
#include "base/mutex.h"
#include "base/result.h"
#include "compress/codec.h"
#include "pool/pool.h"
#include "store/block_map.h"
#include "store/block_slot.h"
#include "store/hot_queue.h"

namespace ztmpfs {

/// The codecs that a store uses. They outlive it.
struct StoreCodecs {
  const Codec* fast = nullptr;      ///< when a writer or pressure waits for it; nullptr: store uncompressed
  const Codec* thorough = nullptr;  ///< in the background; what `fast` made is made again with it later
  std::function<const Codec*(CodecId)> reader;
};

/// How much work sealing may take. kFast is done again thoroughly later, kFastForGood is not.
enum class Effort { kFast, kFastForGood, kThorough };

struct BlockStoreOptions {
  Bytes block_size = 32 * kKiB;
  Bytes hot_limit = 64 * kMiB;               ///< beyond it writers seal the oldest blocks themselves
  std::chrono::milliseconds cold_age{1000};  ///< a block not written for so long is sealed in the background
  /// Where the thorough codec ends in each file: what lies behind is sealed fast, for good.
  uint64_t thorough_end = UINT64_MAX;
  Bytes logical_limit = 0;  ///< cap on the bytes stored, before compression; 0 is none
};

/// What the store holds, in zram's words where zram has the thing (zram.rst, mm_stat).
struct BlockStoreStats {
  Bytes orig_data_size;   ///< bytes of all blocks, before compression; where more is reserved, that
  Bytes orig_data_max;    ///< the most that was since this process attached
  Bytes compr_data_size;  ///< bytes of the sealed objects
  Bytes hot_bytes;        ///< memory of open (raw) objects
  Bytes reserved_bytes;   ///< promised by fallocate(2), on top of the memory in use
  uint64_t same_pages;    ///< blocks that one word fills
  uint64_t huge_pages;    ///< sealed blocks that did not compress
  uint64_t checksum_failures;
  Bytes metadata_bytes;  ///< memory of the table of slots
};

/// The zram-like block store: each owner (a file) is a sparse sequence of blocks, each in one of the forms of
/// BlockForm. A write lands raw in a pool object; a block that has gone cold is sealed: same-filled, compressed or
/// huge.
///
/// Thread-safe per call. An owner's blocks are covered by one stripe lock (reads share it, and hold it while they
/// decompress); compression runs outside of it. The caller sees to it that writes to one owner do not overlap each
/// other, else their order is undefined. Locks: stripe > hot queue, pool.
class BlockStore {
 public:
  /// Names a sequence of blocks; the fs uses its inode table's record number. Never 0.
  using OwnerId = uint32_t;

  BlockStore(Region slots, Pool& pool, MemoryBudget& budget, StoreCodecs codecs, const Clock& clock,
             BlockStoreOptions options);

  /// Rebuilds everything derived from the slot table of an existing (or fresh) image, and has the pool do the same.
  /// Asks is_live_owner(owner, end) for each block, `end` being one past its last byte that has contents, in the owner,
  /// or 0 if it has none; frees the blocks of owners that are not live. Throws std::runtime_error, naming the record,
  /// if one is damaged or contradicts another.
  void attach(const std::function<bool(OwnerId, uint64_t)>& is_live_owner);

  /// Copies `data` to `offset`. Returns how many bytes were written: fewer than asked when the memory cap is reached
  /// in the middle, ENOSPC when none. Blocks that could not be written keep their contents. EIO if a block to be
  /// partly overwritten cannot be read.
  Result<size_t> write(OwnerId owner, uint64_t offset, std::span<const std::byte> data,
                       Admission admission = Admission::kCapped);
  /// Fills `target` from `offset` on; holes and what was never written read as zeros. EIO on a checksum mismatch.
  Result<void> read(OwnerId owner, uint64_t offset, std::span<std::byte> target);
  /// Cuts the owner's contents at `size`, then frees blocks behind it, at most about `budget` bytes of contents and
  /// 4096 blocks per call.
  /// True when nothing behind `size` is left. What is left still reads as it was: the caller hides it.
  bool truncate(OwnerId owner, uint64_t size, Bytes budget);

  /// Promises that writes to [offset, offset + length) will find memory, until it is punched or cut: ENOSPC, at once
  /// and with nothing changed, if it cannot be promised. In each block all that lies before the range is promised too.
  Result<void> reserve(OwnerId owner, uint64_t offset, uint64_t length);
  /// What happens to promises in a range that is punched.
  enum class Reservation { kEnds, kStays };
  /// Makes [offset, end) read as zeros and frees what lies in it; at most about 1 MiB of contents and 4096 blocks per
  /// call. Returns where to go on: `end` when done. EIO if a block that is cut cannot be read; it needs no room.
  Result<uint64_t> punch(OwnerId owner, uint64_t offset, uint64_t end, Reservation reservation);
  /// Makes [to_offset, to_offset + length) of `to` read as [from_offset, ...) of `from` does; sealed blocks as they
  /// are, where they lie alike. `from` and `to` may be one if the ranges do not overlap. Returns how many bytes were
  /// copied: as write(). The caller keeps writers away from both.
  Result<size_t> copy(OwnerId from, uint64_t from_offset, OwnerId to, uint64_t to_offset, size_t length);
  /// The first offset at or behind `offset` that has contents, or that has none: SEEK_DATA and SEEK_HOLE of lseek(2).
  /// Blocks have contents up to the page of their last byte. nullopt: no contents any more.
  std::optional<uint64_t> next_data(OwnerId owner, uint64_t offset) const;
  uint64_t next_hole(OwnerId owner, uint64_t offset) const;

  /// Memory that the owner's blocks take: the bytes of their objects, a word for same-filled ones, and what is
  /// promised.
  Bytes stored_bytes(OwnerId owner) const;
  /// One past the owner's last byte that has contents.
  uint64_t end(OwnerId owner) const;
  /// True if truncate() to `size` would free something, if only what is reserved.
  bool has_blocks_behind(OwnerId owner, uint64_t size) const;
  Bytes block_size() const { return options_.block_size; }

  /// Seals blocks that have been open for the cold age (or, if `everything`, any open block), at most `limit` of them.
  /// Returns how many it took off the queue for good. Only try-locks stripes: a busy block is queued again.
  size_t seal(size_t limit, bool everything, Effort effort);
  /// Compresses again, thoroughly, what was sealed fast and then left alone for kRecompressAge (or, if `everything`,
  /// all of it). Otherwise like seal(). Accepted only where it reaches a smaller size class, as in zram.
  size_t recompress(size_t limit, bool everything);
  /// How long until there is work for seal() or recompress(); nullopt if there is none.
  std::optional<std::chrono::milliseconds> until_work() const;
  /// Blocks waiting for recompress().
  size_t recompress_backlog() const { return fast_queue_.size(); }
  Bytes hot_bytes() const { return counters_.hot.load(std::memory_order_relaxed); }
  bool over_hot_limit() const { return hot_bytes() > hot_limit_.load(std::memory_order_relaxed); }
  Bytes hot_limit() const { return hot_limit_.load(std::memory_order_relaxed); }
  void set_hot_limit(Bytes limit) { hot_limit_.store(limit, std::memory_order_relaxed); }
  /// Called, without locks held, with each owner whose stored_bytes changed because a block was sealed.
  void set_on_sealed(std::function<void(OwnerId)> on_sealed) { on_sealed_ = std::move(on_sealed); }

  /// Memory that is charged already but free for new contents: the pool's stock of free spans.
  Bytes reusable_bytes() const { return pool_.free_span_bytes(); }

  /// Called, with the block's stripe locked, when the first block comes to wait for background work, and when writers
  /// meet the hot limit. Set before threads run.
  void set_on_work(const std::function<void()>& on_work) {
    on_work_ = on_work;
    hot_queue_.set_on_first(on_work);
    fast_queue_.set_on_first(on_work);
  }

  BlockStoreStats stats() const;
  Bytes logical_limit() const { return options_.logical_limit; }
  /// Checks every invariant, sentences for the breaches. The caller sees to it that nothing else runs meanwhile.
  std::vector<std::string> audit() const;

 private:
  static constexpr size_t kStripes = 256;
  // Kept free of raw blocks, so that sealing (which needs memory before it gives some back) always finds a place.
  static constexpr Bytes kSealHeadroom = kMiB;
  struct Stripe {
    mutable SharedMutex mutex;
    BlockMaps maps GUARDED_BY(mutex);
  };
  struct Counters {
    std::atomic<Bytes> logical = 0;
    std::atomic<Bytes> logical_max = 0;
    std::atomic<Bytes> sealed = 0;
    std::atomic<Bytes> hot = 0;
    std::atomic<uint64_t> reserved_blocks = 0;
    std::atomic<uint64_t> same = 0;
    std::atomic<uint64_t> huge = 0;
    std::atomic<uint64_t> checksum_failures = 0;
  };
  // Part of one block: what write() and read() work on.
  struct Piece {
    OwnerId owner;
    uint64_t index;
    uint32_t offset;  // in the block
  };
  // What sealing made of a block's contents, not published yet.
  struct Sealed {
    BlockWord word;
    uint64_t fill = 0;
    bool again = false;  // fast work, to be done again thoroughly
  };
  // How to seal: with how much work, whether a fill may be made of it, and what happens at the cap.
  struct Sealing {
    Effort effort;
    bool may_fill = true;
    Admission admission = Admission::kCapped;
  };
  // What became of an entry whose block is not to be worked on now.
  enum class Skipped { kDropped, kQueuedAgain };
  // A block as the sealing threads found it, its contents copied out.
  struct Snapshot {
    uint32_t slot_id;
    BlockWord word;
    uint32_t generation;
    uint32_t object_size;
    std::span<const std::byte> contents;
  };

  // What a block takes: the memory of its object, and what is promised to it beyond that.
  struct Cost {
    Bytes footprint = 0;
    Bytes promised = 0;
  };

  // What a range needs before it can be reserved.
  struct Missing {
    Bytes memory;
    Bytes logical;
  };
  // A sealed block as it is stored; the object in scratch memory.
  struct SealedCopy {
    BlockWord word;
    uint64_t fill = 0;
    uint64_t tag = 0;
    std::span<const std::byte> object{};
  };

  Stripe& stripe_of(OwnerId owner) const { return stripes_[owner % kStripes]; }
  static BlockWord word_of(const BlockSlot& slot) { return BlockWord(slot.word.load(std::memory_order_acquire)); }
  uint32_t raw_capacity(uint32_t length) const;
  Cost cost(BlockWord word) const;
  void count(BlockMap& map, BlockWord before, const Cost& before_cost, BlockWord after);
  void publish(BlockMap& map, BlockSlot& slot, BlockWord word);
  void publish_with_reservation(BlockMap& map, BlockSlot& slot, BlockWord word);
  void touch(BlockSlot& slot, const Piece& piece, bool is_new);

  // block_store.cc
  Result<void> read_block(const BlockSlot& slot, uint32_t offset, std::span<std::byte> target);
  Result<void> read_sealed(BlockWord word, uint32_t offset, std::span<std::byte> target);
  Result<void> check_sum(BlockWord word, std::span<const std::byte> object, uint64_t tag);
  void drop_block(BlockMap& map, uint64_t index, uint32_t slot_id);
  static void drop_if_empty(Stripe& stripe, OwnerId owner) REQUIRES(stripe.mutex);
  Result<void> fail_checksum(const std::string& where);
  bool is_live_slot(uint32_t slot_id, const BlockSlot& slot,
                    const std::function<bool(OwnerId, uint64_t)>& is_live_owner) const;
  bool is_possible(BlockWord word, const HandleRecord& object) const;
  void attach_slot(uint32_t slot_id);

  // block_write.cc
  Result<void> write_block(const Piece& piece, std::span<const std::byte> data, Admission admission);
  Result<void> write_raw(const Piece& piece, std::span<const std::byte> data);
  Result<void> write_sealed(const Piece& piece, std::span<const std::byte> data, const Sealing& sealing);
  Result<void> replace_raw(BlockMap& map, uint32_t slot_id, const Piece& piece, std::span<const std::byte> data);
  void write_in_place(BlockMap& map, BlockSlot& slot, const Piece& piece, std::span<const std::byte> data);
  Result<uint32_t> slot_for(Stripe& stripe, const Piece& piece, Admission admission) REQUIRES(stripe.mutex);
  void discard_if_hole(Stripe& stripe, const Piece& piece, uint32_t slot_id) REQUIRES(stripe.mutex);
  Result<Handle> allocate_raw(uint32_t capacity, uint32_t slot_id, Admission admission);
  bool room_for_raw(Bytes bytes);
  bool make_room();
  bool within_logical_limit(const Piece& piece, size_t size) const;
  BlockWord word_at(const Piece& piece) const;

  // block_ranges.cc
  struct Reserving;
  Missing missing_for(OwnerId owner, uint64_t offset, uint64_t end) const;
  Result<void> reserve_block(const Piece& piece, uint32_t end, Reserving& reserving);
  void unreserve(OwnerId owner, const Reserving& reserving);
  bool punch_block(BlockMap& map, const Piece& piece, uint32_t end, Reservation reservation);
  Result<void> copy_piece(OwnerId from, uint64_t from_offset, const Piece& to, uint32_t size);
  Result<bool> copy_sealed(const Piece& from, const Piece& to, uint32_t size);
  std::optional<SealedCopy> sealed_snapshot(const Piece& piece);

  // block_seal.cc
  bool may_seal(BlockWord word) const;
  std::expected<Snapshot, Skipped> take_snapshot(HotQueue& queue, const HotQueue::Entry& entry, uint32_t age_min);
  bool copy_object(BlockWord word, std::span<std::byte> contents);
  bool seal_entry(const HotQueue::Entry& entry, uint32_t age_min, Effort effort);
  void recompress_entry(const HotQueue::Entry& entry, uint32_t age_min);
  Effort effort_for(uint64_t index, Effort effort) const;
  bool is_to_be_recompressed(BlockWord word, uint64_t index) const;
  bool is_current(const BlockSlot& slot, const Snapshot& snapshot) const;
  bool publish_snapshot(const HotQueue::Entry& entry, const Snapshot& snapshot, const Sealed& sealed);
  void publish_sealed(BlockMap& map, BlockSlot& slot, const Piece& piece, const Sealed& sealed);
  Result<Sealed> make_sealed(std::span<const std::byte> contents, uint32_t slot_id, const Sealing& sealing);
  Result<Handle> store_sealed(std::span<const std::byte> bytes, CodecId codec, uint32_t slot_id, Admission admission);

  DurableTable<BlockSlot> slots_;
  Pool& pool_;
  MemoryBudget& budget_;
  const StoreCodecs codecs_;
  const BlockStoreOptions options_;
  const uint32_t cold_ticks_;
  std::function<void(OwnerId)> on_sealed_;  // constant once threads run
  std::function<void()> on_work_;           // constant once threads run

  mutable std::array<Stripe, kStripes> stripes_;
  HotQueue hot_queue_;   // open blocks
  HotQueue fast_queue_;  // blocks sealed in a hurry
  std::atomic<uint32_t> next_generation_ = 1;
  Counters counters_;
  std::atomic<Bytes> hot_limit_;
};

}  // namespace ztmpfs
