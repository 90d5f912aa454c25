#include <algorithm>
#include <bit>
#include <cstring>

#include "base/durable_store.h"
#include "compress/same_filled.h"
#include "store/block_store.h"
#include "store/object_tag.h"
#include "store/scratch.h"

namespace ztmpfs {

namespace {

// Shorter contents are not worth a codec's header.
constexpr size_t kCompressMin = 48;
// What was sealed in a hurry is compressed again once the hurry should be over.
constexpr std::chrono::milliseconds kRecompressAge{2000};
constexpr uint32_t kRecompressTicks = uint32_t(kRecompressAge / HotQueue::kTick);

BlockAge age_of(const BlockSlot& slot) { return std::bit_cast<BlockAge>(slot.auxiliary); }

}  // namespace

// Notes a write to an open block, and queues a block that was just opened.
void BlockStore::touch(BlockSlot& slot, const Piece& piece, bool is_new) {
  BlockAge age = is_new ? BlockAge{} : age_of(slot);
  age.tick = hot_queue_.now() & HotQueue::kTickMask;
  age.generation = next_generation_.fetch_add(1, std::memory_order_relaxed);
  if (is_new) age.ticket = hot_queue_.push({piece.index, piece.owner, age.tick, 0});
  slot.auxiliary = std::bit_cast<uint64_t>(age);
}

size_t BlockStore::seal(size_t limit, bool everything, Effort effort) {
  const uint32_t age_min = everything ? 0 : cold_ticks_;
  size_t done = 0;
  for (size_t taken = 0; taken < limit; ++taken) {
    const auto entry = hot_queue_.pop(age_min);
    if (!entry) break;
    done += seal_entry(*entry, age_min, effort) ? 1 : 0;
  }
  return done;
}

size_t BlockStore::recompress(size_t limit, bool everything) {
  const uint32_t age_min = everything ? 0 : kRecompressTicks;
  size_t taken = 0;
  for (; taken < limit; ++taken) {
    const auto entry = fast_queue_.pop(age_min);
    if (!entry) break;
    recompress_entry(*entry, age_min);
  }
  return taken;
}

std::optional<std::chrono::milliseconds> BlockStore::until_work() const {
  const auto cold = hot_queue_.until_age(cold_ticks_);
  const auto again = fast_queue_.until_age(kRecompressTicks);
  if (!cold || !again) return cold ? cold : again;
  return std::min(*cold, *again);
}

// The block that an entry of `queue` leads to, its contents copied under the lock. Nothing if it is not the one that
// was queued, cannot be read (who reads it gets the error), or has to wait: then it is queued again.
std::expected<BlockStore::Snapshot, BlockStore::Skipped> BlockStore::take_snapshot(HotQueue& queue,
                                                                                   const HotQueue::Entry& entry,
                                                                                   uint32_t age_min) {
  const bool is_open = &queue == &hot_queue_;
  Stripe& stripe = stripe_of(entry.owner);
  if (!stripe.mutex.try_lock_shared()) {
    queue.push_again(entry, entry.tick);
    return std::unexpected(Skipped::kQueuedAgain);
  }
  const auto map = stripe.maps.find(entry.owner);
  const uint32_t slot_id = map == stripe.maps.end() ? 0 : map->second.find(entry.index);
  const BlockWord word = slot_id == 0 ? BlockWord() : word_of(slots_[slot_id]);
  const bool has_age = is_open ? word.form() == BlockForm::kRaw : word.is_sealed_object();
  const BlockAge age = has_age ? age_of(slots_[slot_id]) : BlockAge{};
  bool is_queued = has_age && age.ticket == entry.ticket;
  const bool is_cold = HotQueue::age(queue.now(), age.tick) >= age_min;
  const bool may_go_on = !is_open || may_seal(word);
  const auto contents = scratch(ScratchUse::kContents, word.length());
  uint32_t object_size = 0;
  if (is_queued && is_cold && may_go_on) {
    object_size = pool_.size(word.handle());
    is_queued = copy_object(word, contents);
  }
  stripe.mutex.unlock_shared();
  if (!is_queued) return std::unexpected(Skipped::kDropped);
  if (!is_cold || !may_go_on) {
    queue.push_again(entry, may_go_on ? age.tick : queue.now());
    return std::unexpected(Skipped::kQueuedAgain);
  }
  return Snapshot{slot_id, word, age.generation, object_size, contents};
}

bool BlockStore::copy_object(BlockWord word, std::span<std::byte> contents) {
  if (word.is_sealed_object()) return read_sealed(word, 0, contents).has_value();
  const Pin pin = pool_.pin(word.handle());
  std::memcpy(contents.data(), pin.bytes().data(), contents.size());
  return true;
}

// Sealing makes the promise to a reserved block anew: then it takes more than it gives back.
bool BlockStore::may_seal(BlockWord word) const {
  return word.reserved() == 0 || budget_.available() >= 2 * options_.block_size + kSealHeadroom;
}

// Compresses outside the lock, then publishes if nobody wrote meanwhile. False if the entry is in the queue again.
bool BlockStore::seal_entry(const HotQueue::Entry& entry, uint32_t age_min, Effort effort) {
  const auto snapshot = take_snapshot(hot_queue_, entry, age_min);
  if (!snapshot) return snapshot.error() == Skipped::kDropped;
  const auto sealed = make_sealed(snapshot->contents, snapshot->slot_id, {effort_for(entry.index, effort)});
  if (!sealed || !publish_snapshot(entry, *snapshot, *sealed)) {
    hot_queue_.push_again(entry, hot_queue_.now());
    return false;
  }
  if (on_sealed_) on_sealed_(entry.owner);
  return true;
}

// The same for a block that the fast codec made: only if it reaches a smaller class.
void BlockStore::recompress_entry(const HotQueue::Entry& entry, uint32_t age_min) {
  const auto snapshot = take_snapshot(fast_queue_, entry, age_min);
  if (!snapshot) return;
  const auto sealed = make_sealed(snapshot->contents, snapshot->slot_id, {Effort::kThorough});
  if (!sealed) return;
  const bool has_object = sealed->word.has_object();
  if (has_object && pool_.class_size(pool_.size(sealed->word.handle())) >= pool_.class_size(snapshot->object_size))
    return pool_.free(sealed->word.handle());
  // If it was written meanwhile, the entry will be dropped; if not, it waits for a better moment.
  if (!publish_snapshot(entry, *snapshot, *sealed)) return fast_queue_.push_again(entry, fast_queue_.now());
  if (on_sealed_) on_sealed_(entry.owner);
}

Effort BlockStore::effort_for(uint64_t index, Effort effort) const {
  return index >= options_.thorough_end / options_.block_size ? Effort::kFastForGood : effort;
}

// Sealed in a hurry, as its codec tells.
bool BlockStore::is_to_be_recompressed(BlockWord word, uint64_t index) const {
  return word.form() == BlockForm::kCompressed && codecs_.thorough != nullptr &&
         effort_for(index, Effort::kThorough) == Effort::kThorough &&
         tag_codec(pool_.tag(word.handle())) != codecs_.thorough->id();
}

bool BlockStore::is_current(const BlockSlot& slot, const Snapshot& snapshot) const {
  return word_of(slot) == snapshot.word && age_of(slot).generation == snapshot.generation;
}

// False (and the new object freed) if the block is busy or was changed since the snapshot.
bool BlockStore::publish_snapshot(const HotQueue::Entry& entry, const Snapshot& snapshot, const Sealed& sealed) {
  Stripe& stripe = stripe_of(entry.owner);
  bool published = false;
  if (stripe.mutex.try_lock()) {
    const auto map = stripe.maps.find(entry.owner);
    if (map != stripe.maps.end() && map->second.find(entry.index) == snapshot.slot_id &&
        is_current(slots_[snapshot.slot_id], snapshot)) {
      publish_sealed(map->second, slots_[snapshot.slot_id], {entry.owner, entry.index, 0}, sealed);
      published = true;
    }
    stripe.mutex.unlock();
  }
  if (!published && sealed.word.has_object()) pool_.free(sealed.word.handle());
  return published;
}

// The fill word is durable for same-filled blocks only, and must be right whenever the form says so.
void BlockStore::publish_sealed(BlockMap& map, BlockSlot& slot, const Piece& piece, const Sealed& sealed) {
  if (sealed.word.form() == BlockForm::kSameFilled) {
    // Only a write of the whole block comes here with another fill; it is redone after a crash, so a hole may be seen.
    if (word_of(slot).form() == BlockForm::kSameFilled && slot.auxiliary != sealed.fill)
      publish(map, slot, BlockWord());
    durable_store(slot.auxiliary, sealed.fill);
    return publish(map, slot, sealed.word);
  }
  publish(map, slot, sealed.word);
  BlockAge age{.generation = next_generation_.fetch_add(1, std::memory_order_relaxed),
               .ticket = 0,
               .tick = hot_queue_.now() & HotQueue::kTickMask};
  if (sealed.again) age.ticket = fast_queue_.push({piece.index, piece.owner, age.tick, 0});
  slot.auxiliary = std::bit_cast<uint64_t>(age);
}

Result<BlockStore::Sealed> BlockStore::make_sealed(std::span<const std::byte> contents, uint32_t slot_id,
                                                   const Sealing& sealing) {
  const auto length = uint32_t(contents.size());
  if (const auto word = sealing.may_fill ? same_filled(contents) : std::nullopt)
    return Sealed{BlockWord(BlockForm::kSameFilled, length, BlockWord::fill_check(*word)), *word};
  const Codec* codec = sealing.effort == Effort::kThorough ? codecs_.thorough : codecs_.fast;
  const bool again = sealing.effort == Effort::kFast && codecs_.fast != codecs_.thorough;
  if (codec != nullptr && length >= kCompressMin) {
    const auto target = scratch(ScratchUse::kCompressed, length - 1);
    const auto size = uint32_t(codec->compress(contents, target));
    // zram's rule: worth it only if the object reaches a smaller class.
    if (size != 0 && pool_.class_size(size) < pool_.class_size(length)) {
      const auto handle = store_sealed(target.first(size), codec->id(), slot_id, sealing.admission);
      if (!handle) return fail(handle.error());
      return Sealed{.word = BlockWord(BlockForm::kCompressed, length, *handle), .again = again};
    }
  }
  const auto handle = store_sealed(contents, CodecId::kNone, slot_id, sealing.admission);
  if (!handle) return fail(handle.error());
  return Sealed{.word = BlockWord(BlockForm::kHuge, length, *handle), .again = again && length >= kCompressMin};
}

Result<Handle> BlockStore::store_sealed(std::span<const std::byte> bytes, CodecId codec, uint32_t slot_id,
                                        Admission admission) {
  return pool_.allocate_packed(bytes, slot_id, make_tag(codec, object_checksum(bytes)), admission);
}

}  // namespace ztmpfs
