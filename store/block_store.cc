#include "store/block_store.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <stdexcept>

#include "base/durable_store.h"
#include "base/log.h"
#include "compress/same_filled.h"
#include "store/object_tag.h"
#include "store/scratch.h"

namespace ztmpfs {

namespace {

constexpr size_t kBlocksPerTruncateStep = 4096;
// Whole pages: open blocks come and go, and would leave spans of small objects behind that only sealed ones still use.
constexpr uint32_t kRawCapacityMin = uint32_t(kPageSize);

[[noreturn]] void throw_damaged(uint32_t slot_id, const char* reason) {
  throw std::runtime_error("the image is damaged: block slot " + std::to_string(slot_id) + " " + reason);
}

// A free slot has no word either: it may hold one that was never published.
void discard(BlockSlot& slot) {
  durable_store(slot.owner_word, 0);
  durable_store(slot.word, 0);
}

void note_peak(std::atomic<Bytes>& peak, Bytes now) {
  Bytes before = peak.load(std::memory_order_relaxed);
  while (before < now && !peak.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
}

}  // namespace

BlockStore::BlockStore(Region slots, Pool& pool, MemoryBudget& budget, StoreCodecs codecs, const Clock& clock,
                       BlockStoreOptions options)
    : slots_(slots, budget),
      pool_(pool),
      budget_(budget),
      codecs_(std::move(codecs)),
      options_(options),
      cold_ticks_(uint32_t(std::max<int64_t>(options.cold_age / HotQueue::kTick, 1))),
      hot_queue_(clock),
      fast_queue_(clock),
      hot_limit_(options.hot_limit) {}

void BlockStore::attach(const std::function<bool(OwnerId, uint64_t)>& is_live_owner) {
  size_t with_object = 0;
  size_t first_blocks = 0;
  slots_.attach([&](uint32_t id, BlockSlot& slot) {
    if (slot.owner_word.load(std::memory_order_relaxed) == 0 && slot.word.load(std::memory_order_relaxed) == 0)
      return false;
    const bool is_live = is_live_slot(id, slot, is_live_owner);
    if (!is_live) discard(slot);
    if (is_live && word_of(slot).has_object()) ++with_object;
    if (is_live && slot.index == 0) ++first_blocks;
    return is_live;
  });
  size_t objects = 0;
  pool_.attach([&](Handle handle, const HandleRecord& record) {
    if (!slots_.contains(record.owner)) return false;
    const BlockWord word = word_of(slots_[record.owner]);
    if (!word.has_object() || word.handle() != handle) return false;
    if (!is_possible(word, record)) throw_damaged(record.owner, "has an object that cannot be its own");
    ++objects;
    return true;
  });
  // Nearly all owners have a first block. Growing maps would take as long as filling them.
  for (Stripe& stripe : stripes_) {
    WriterLock lock(stripe.mutex);
    stripe.maps.reserve(first_blocks / kStripes);
  }
  slots_.for_each_used([&](uint32_t id) {
    const BlockWord word = word_of(slots_[id]);
    if (objects != with_object && word.has_object() && !pool_.is_owned_by(word.handle(), id))
      throw_damaged(id, "refers to an object that is not there");
    attach_slot(id);
  });
}

// False for what a crash has left: a slot on its way to life or to death, or one whose owner died first.
bool BlockStore::is_live_slot(uint32_t slot_id, const BlockSlot& slot,
                              const std::function<bool(OwnerId, uint64_t)>& is_live_owner) const {
  const uint64_t bits = slot.word.load(std::memory_order_relaxed);
  if (!BlockWord::is_intact(bits)) throw_damaged(slot_id, "says what no block's slot says");
  if (slot.owner_word.load(std::memory_order_relaxed) == 0) return false;
  if (!slot.has_intact_owner()) throw_damaged(slot_id, "does not belong to the file that it names");
  const BlockWord word(bits);
  const bool is_known = word.form() <= BlockForm::kHuge && slot.index <= UINT64_MAX / 2 / options_.block_size;
  if (!is_known || word.length() > options_.block_size || word.reserved() > options_.block_size ||
      (word.form() == BlockForm::kHole && word.length() > 0))
    throw_damaged(slot_id, "has an impossible form or length");
  const uint64_t end = word.length() == 0 ? 0 : slot.index * options_.block_size + word.length();
  return is_live_owner(slot.owner(), end) && !word.is_nothing();
}

// Whether the object can be what the word says it is.
bool BlockStore::is_possible(BlockWord word, const HandleRecord& object) const {
  const CodecId codec = tag_codec(object.tag);
  switch (word.form()) {
    case BlockForm::kRaw:
      return object.tag == 0 && std::has_single_bit(object.size) && object.size >= word.length() &&
             object.size <= options_.block_size;
    case BlockForm::kHuge:
      return object.tag == make_tag(CodecId::kNone, tag_checksum(object.tag)) && object.size >= word.length();
    default:
      return object.tag == make_tag(codec, tag_checksum(object.tag)) && codec != CodecId::kNone &&
             codecs_.reader(codec) != nullptr;
  }
}

// Nobody else is there yet: the stripe needs no lock, which would take as long as the rest.
void BlockStore::attach_slot(uint32_t slot_id) NO_THREAD_SAFETY_ANALYSIS {
  BlockSlot& slot = slots_[slot_id];
  const auto owner = OwnerId(slot.owner());
  const BlockWord word = word_of(slot);
  BlockMap& map = stripe_of(owner).maps[owner];
  if (map.find(slot.index) != 0) throw_damaged(slot_id, "is the second one of its block");
  map.insert(slot.index, slot_id);
  count(map, BlockWord(), {}, word);
  if (word.form() == BlockForm::kRaw) touch(slot, {owner, slot.index, 0}, true);
  if (!is_to_be_recompressed(word, slot.index)) return;
  BlockAge age{.generation = 0, .ticket = 0, .tick = hot_queue_.now() & HotQueue::kTickMask};
  age.ticket = fast_queue_.push({slot.index, owner, age.tick, 0});
  slot.auxiliary = std::bit_cast<uint64_t>(age);
}

// The size of an open object for so many bytes: a power of two.
uint32_t BlockStore::raw_capacity(uint32_t length) const {
  return std::min(std::bit_ceil(std::max(length, kRawCapacityMin)), uint32_t(options_.block_size));
}

// A promise is kept in memory once an open object is large enough.
BlockStore::Cost BlockStore::cost(BlockWord word) const {
  Cost cost;
  if (word.has_object()) cost.footprint = pool_.size(word.handle());
  if (word.form() == BlockForm::kSameFilled) cost.footprint = sizeof(uint64_t);
  const bool is_kept = word.form() == BlockForm::kRaw && cost.footprint >= word.reserved();
  if (word.reserved() > 0 && !is_kept) cost.promised = raw_capacity(std::max(word.length(), word.reserved()));
  return cost;
}

// Moves the counters from one state of a block to the next. `before_cost`: taken while its object was valid.
void BlockStore::count(BlockMap& map, BlockWord before, const Cost& before_cost, BlockWord after) {
  const Cost after_cost = cost(after);
  const auto logical = [](BlockWord word) -> Bytes { return std::max(word.length(), word.reserved()); };
  const auto bytes_if = [](bool holds, const Cost& cost) -> Bytes { return holds ? cost.footprint : 0; };
  const auto is_raw = [](BlockWord word) { return word.form() == BlockForm::kRaw; };
  const auto is = [](BlockWord word, BlockForm form) { return uint64_t(word.form() == form); };
  map.stored_bytes += after_cost.footprint + after_cost.promised - before_cost.footprint - before_cost.promised;
  note_peak(counters_.logical_max, counters_.logical += logical(after) - logical(before));
  counters_.sealed += bytes_if(after.is_sealed_object(), after_cost) - bytes_if(before.is_sealed_object(), before_cost);
  counters_.hot += bytes_if(is_raw(after), after_cost) - bytes_if(is_raw(before), before_cost);
  counters_.same += is(after, BlockForm::kSameFilled) - is(before, BlockForm::kSameFilled);
  counters_.huge += is(after, BlockForm::kHuge) - is(before, BlockForm::kHuge);
  counters_.reserved_blocks += uint64_t(after.reserved() > 0) - uint64_t(before.reserved() > 0);
  if (after_cost.promised > before_cost.promised) {
    budget_.promise(after_cost.promised - before_cost.promised);
  } else if (after_cost.promised < before_cost.promised) {
    budget_.end_promise(before_cost.promised - after_cost.promised);
  }
}

// Makes `word` the block's state, its reservation as it was, then frees the object it had.
void BlockStore::publish(BlockMap& map, BlockSlot& slot, BlockWord word) {
  publish_with_reservation(map, slot, word.with_reserved(word_of(slot).reserved()));
}

// The same with one store for all of it.
void BlockStore::publish_with_reservation(BlockMap& map, BlockSlot& slot, BlockWord word) {
  const BlockWord before = word_of(slot);
  count(map, before, cost(before), word);
  durable_store(slot.word, word.bits());
  // A release store lets later stores pass it in the compiler's order; a crash must not see them first.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool keeps_object = word.has_object() && word.handle() == before.handle();
  if (before.has_object() && !keeps_object) pool_.free(before.handle());
}

BlockWord BlockStore::word_at(const Piece& piece) const {
  const Stripe& stripe = stripe_of(piece.owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(piece.owner);
  const uint32_t slot_id = map == stripe.maps.end() ? 0 : map->second.find(piece.index);
  return slot_id == 0 ? BlockWord() : word_of(slots_[slot_id]);
}

Result<void> BlockStore::read(OwnerId owner, uint64_t offset, std::span<std::byte> target) {
  Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  while (!target.empty()) {
    const auto in_block = uint32_t(offset % options_.block_size);
    const auto piece = target.first(std::min<size_t>(target.size(), options_.block_size - in_block));
    const uint32_t slot_id = map == stripe.maps.end() ? 0 : map->second.find(offset / options_.block_size);
    if (slot_id == 0) {
      std::memset(piece.data(), 0, piece.size());
    } else if (auto done = read_block(slots_[slot_id], in_block, piece); !done) {
      return done;
    }
    offset += piece.size();
    target = target.subspan(piece.size());
  }
  return {};
}

Result<void> BlockStore::read_block(const BlockSlot& slot, uint32_t offset, std::span<std::byte> target) {
  const BlockWord word = word_of(slot);
  const size_t valid = word.length() > offset ? std::min<size_t>(word.length() - offset, target.size()) : 0;
  std::memset(target.data() + valid, 0, target.size() - valid);
  target = target.first(valid);
  if (target.empty()) return {};
  switch (word.form()) {
    case BlockForm::kRaw: {
      const Pin pin = pool_.pin(word.handle());
      std::memcpy(target.data(), pin.bytes().data() + offset, target.size());
      return {};
    }
    case BlockForm::kSameFilled:
      if (BlockWord::fill_check(slot.auxiliary) != word.handle()) return fail_checksum("a same-filled block");
      fill(target, slot.auxiliary, offset);
      return {};
    case BlockForm::kCompressed:
    case BlockForm::kHuge: return read_sealed(word, offset, target);
    case BlockForm::kHole: break;
  }
  ZTMPFS_CHECK(false, "a block's form is unknown");
  return {};
}

Result<void> BlockStore::read_sealed(BlockWord word, uint32_t offset, std::span<std::byte> target) {
  const uint64_t tag = pool_.tag(word.handle());
  const Pin pin = pool_.pin(word.handle());
  if (auto sound = check_sum(word, pin.bytes(), tag); !sound) return sound;
  if (word.form() == BlockForm::kHuge) {
    std::memcpy(target.data(), pin.bytes().data() + offset, target.size());
    return {};
  }
  const Codec* codec = codecs_.reader(tag_codec(tag));
  if (codec == nullptr) return fail(std::errc::io_error);
  // Straight into the caller's memory if it takes the whole block; a cut block may be longer inside than `length`.
  if (offset == 0 && target.size() == options_.block_size) {
    auto size = codec->decompress(pin.bytes(), target);
    if (size && *size >= target.size()) return {};
    return fail(std::errc::io_error);
  }
  const auto block = scratch(ScratchUse::kDecompressed, options_.block_size);
  auto size = codec->decompress(pin.bytes(), block);
  if (!size || *size < offset + target.size()) return fail(std::errc::io_error);
  std::memcpy(target.data(), block.data() + offset, target.size());
  return {};
}

Result<void> BlockStore::check_sum(BlockWord word, std::span<const std::byte> object, uint64_t tag) {
  if (object_checksum(object) == tag_checksum(tag)) return {};
  return fail_checksum("object " + std::to_string(word.handle()));
}

Result<void> BlockStore::fail_checksum(const std::string& where) {
  counters_.checksum_failures.fetch_add(1, std::memory_order_relaxed);
  log_limited(LogLevel::kError, "checksum", "checksum mismatch in " + where + ": answering EIO");
  return fail(std::errc::io_error);
}

bool BlockStore::truncate(OwnerId owner, uint64_t size, Bytes budget) {
  Stripe& stripe = stripe_of(owner);
  WriterLock lock(stripe.mutex);
  const auto found = stripe.maps.find(owner);
  if (found == stripe.maps.end()) return true;
  BlockMap& map = found->second;
  const uint64_t edge = size / options_.block_size;
  const auto kept = uint32_t(size % options_.block_size);
  if (const uint32_t slot_id = kept == 0 ? 0 : map.find(edge); slot_id != 0) {
    BlockSlot& slot = slots_[slot_id];
    const BlockWord word = word_of(slot);
    const BlockWord cut =
        word.with_length(std::min(word.length(), kept)).with_reserved(std::min(word.reserved(), kept));
    if (cut != word) publish_with_reservation(map, slot, cut);
  }
  const uint64_t from = kept == 0 ? edge : edge + 1;
  Bytes freed = 0;
  for (size_t blocks = 0; freed <= budget && blocks < kBlocksPerTruncateStep; ++blocks) {
    const auto [index, slot_id] = map.last(from);
    if (slot_id == 0) break;
    freed += word_of(slots_[slot_id]).length();
    drop_block(map, index, slot_id);
  }
  const bool done = map.last(from).second == 0;
  drop_if_empty(stripe, owner);
  return done;
}

// The slot dies with the store to `owner`; a crash before its object is freed leaves an orphan that attach frees.
void BlockStore::drop_block(BlockMap& map, uint64_t index, uint32_t slot_id) {
  BlockSlot& slot = slots_[slot_id];
  const BlockWord word = word_of(slot);
  count(map, word, cost(word), BlockWord());
  map.erase(index);
  discard(slot);
  if (word.has_object()) pool_.free(word.handle());
  slots_.allocator().release(slot_id);
}

// Forgets an owner without blocks; a map that has become much too large for its owners shrinks.
void BlockStore::drop_if_empty(Stripe& stripe, OwnerId owner) {
  const auto found = stripe.maps.find(owner);
  if (found == stripe.maps.end() || !found->second.empty()) return;
  stripe.maps.erase(found);
  if (stripe.maps.size() < stripe.maps.bucket_count() / 8) stripe.maps.rehash(0);
}

Bytes BlockStore::stored_bytes(OwnerId owner) const {
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  return map == stripe.maps.end() ? 0 : map->second.stored_bytes;
}

uint64_t BlockStore::end(OwnerId owner) const {
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  if (map == stripe.maps.end()) return 0;
  // What is only reserved may lie behind it.
  auto block = map->second.last(0);
  while (block.second != 0 && word_of(slots_[block.second]).length() == 0) block = map->second.previous(block.first);
  return block.second == 0 ? 0 : block.first * options_.block_size + word_of(slots_[block.second]).length();
}

bool BlockStore::has_blocks_behind(OwnerId owner, uint64_t size) const {
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  if (map == stripe.maps.end()) return false;
  const auto kept = uint32_t(size % options_.block_size);
  if (map->second.last((size + options_.block_size - 1) / options_.block_size).second != 0) return true;
  const uint32_t edge = kept == 0 ? 0 : map->second.find(size / options_.block_size);
  return edge != 0 && word_of(slots_[edge]).reserved() >= kept + kPageSize;
}

BlockStoreStats BlockStore::stats() const {
  return {.orig_data_size = counters_.logical,
          .orig_data_max = counters_.logical_max,
          .compr_data_size = counters_.sealed,
          .hot_bytes = counters_.hot,
          .reserved_bytes = budget_.promised(),
          .same_pages = counters_.same,
          .huge_pages = counters_.huge,
          .checksum_failures = counters_.checksum_failures,
          .metadata_bytes = slots_.allocator().resident()};
}

std::vector<std::string> BlockStore::audit() const {
  std::vector<std::string> breaches = pool_.audit();
  Bytes logical = 0;
  Bytes objects = 0;
  Bytes promised = 0;
  uint64_t blocks = 0;
  for (const Stripe& stripe : stripes_) {
    ReaderLock lock(stripe.mutex);
    for (const auto& [owner, map] : stripe.maps) {
      Bytes stored = 0;
      map.for_each([&](uint64_t index, uint32_t slot_id) {
        const BlockSlot& slot = slots_[slot_id];
        const BlockWord word = word_of(slot);
        ++blocks;
        const Cost block_cost = cost(word);
        stored += block_cost.footprint + block_cost.promised;
        promised += block_cost.promised;
        logical += std::max(word.length(), word.reserved());
        objects += word.has_object() ? 1 : 0;
        if (slot.owner() != owner || !slot.has_intact_owner() || slot.index != index || !slots_.contains(slot_id))
          breaches.push_back("slot " + std::to_string(slot_id) + " does not say what the map of its owner says");
        if (word.is_nothing() || std::max(word.length(), word.reserved()) > options_.block_size ||
            (word.form() == BlockForm::kHole && word.length() > 0))
          breaches.push_back("slot " + std::to_string(slot_id) + " has an impossible form or length");
        if ((word.form() == BlockForm::kRaw || word.form() == BlockForm::kHuge) && block_cost.footprint < word.length())
          breaches.push_back("slot " + std::to_string(slot_id) + " is longer than its object");
      });
      if (stored != map.stored_bytes)
        breaches.push_back("owner " + std::to_string(owner) + ": stored bytes are miscounted");
    }
  }
  if (logical != counters_.logical) breaches.push_back("the bytes of all blocks are miscounted");
  if (promised != budget_.promised()) breaches.push_back("the bytes promised to blocks are miscounted");
  if (objects != pool_.stats().objects_used) breaches.push_back("the pool has objects that no block refers to");
  if (blocks != slots_.allocator().records_used()) breaches.push_back("there are slots that no owner refers to");
  return breaches;
}

}  // namespace ztmpfs
