#include <algorithm>
#include <cstring>

#include "base/durable_store.h"
#include "store/block_store.h"
#include "store/scratch.h"

namespace ztmpfs {

namespace {

constexpr size_t kSealedPerRoomMade = 64;
constexpr int kRoomAttempts = 16;
// A writer over the hot limit seals more than it opens, so the limit holds.
constexpr size_t kSealedPerWrite = 2;

}  // namespace

Result<size_t> BlockStore::write(OwnerId owner, uint64_t offset, std::span<const std::byte> data, Admission admission) {
  size_t written = 0;
  while (written < data.size()) {
    const Piece piece{owner, (offset + written) / options_.block_size,
                      uint32_t((offset + written) % options_.block_size)};
    const auto part =
        data.subspan(written, std::min<size_t>(data.size() - written, options_.block_size - piece.offset));
    if (auto done = write_block(piece, part, admission); !done) {
      if (written > 0) break;
      return fail(done.error());
    }
    written += part.size();
  }
  return written;
}

Result<void> BlockStore::write_block(const Piece& piece, std::span<const std::byte> data, Admission admission) {
  const uint32_t reserved = counters_.reserved_blocks.load() == 0 ? 0 : word_at(piece).reserved();
  // Promised: nothing may refuse it.
  if (piece.offset + data.size() <= reserved) return write_raw(piece, data);
  if (!within_logical_limit(piece, data.size())) return fail(std::errc::no_space_on_device);
  if (over_hot_limit()) {
    if (on_work_) on_work_();
    // Sealing makes the promise to a reserved block anew, which takes room.
    if (data.size() == options_.block_size && reserved == 0)
      return write_sealed(piece, data, {.effort = Effort::kFast, .admission = admission});
    seal(kSealedPerWrite, true, Effort::kFast);
  }
  auto done = write_raw(piece, data);
  for (int attempt = 0; attempt < kRoomAttempts && !done && done.error() == std::errc::no_space_on_device; ++attempt) {
    if (!make_room()) break;
    done = write_raw(piece, data);
  }
  if (done || done.error() != std::errc::no_space_on_device) return done;
  return write_sealed(piece, data, {.effort = Effort::kFast, .admission = admission});
}

Result<void> BlockStore::write_raw(const Piece& piece, std::span<const std::byte> data) {
  Stripe& stripe = stripe_of(piece.owner);
  WriterLock lock(stripe.mutex);
  const auto slot_id = slot_for(stripe, piece, Admission::kCapped);
  if (!slot_id) return fail(slot_id.error());
  BlockMap& map = stripe.maps[piece.owner];
  BlockSlot& slot = slots_[*slot_id];
  const BlockWord word = word_of(slot);
  if (word.form() == BlockForm::kRaw && piece.offset + data.size() <= pool_.size(word.handle())) {
    write_in_place(map, slot, piece, data);
    return {};
  }
  auto done = replace_raw(map, *slot_id, piece, data);
  if (!done) discard_if_hole(stripe, piece, *slot_id);
  return done;
}

// The slot of the block; a new one has no owner yet, so that a crash forgets it.
Result<uint32_t> BlockStore::slot_for(Stripe& stripe, const Piece& piece, Admission admission) {
  BlockMap& map = stripe.maps[piece.owner];
  if (const uint32_t slot_id = map.find(piece.index); slot_id != 0) return slot_id;
  const uint32_t slot_id = slots_.allocator().allocate(admission);
  if (slot_id == 0) {
    drop_if_empty(stripe, piece.owner);
    return fail(std::errc::no_space_on_device);
  }
  kill_point();
  slots_[slot_id].index = piece.index;
  map.insert(piece.index, slot_id);
  return slot_id;
}

void BlockStore::discard_if_hole(Stripe& stripe, const Piece& piece, uint32_t slot_id) {
  if (!word_of(slots_[slot_id]).is_nothing()) return;
  stripe.maps[piece.owner].erase(piece.index);
  slots_.allocator().release(slot_id);
  drop_if_empty(stripe, piece.owner);
}

// Order for a crash: bytes, then the word that makes them count.
void BlockStore::write_in_place(BlockMap& map, BlockSlot& slot, const Piece& piece, std::span<const std::byte> data) {
  const BlockWord word = word_of(slot);
  const auto end = uint32_t(piece.offset + data.size());
  const Pin pin = pool_.pin(word.handle());
  kill_point();
  if (piece.offset > word.length()) std::memset(pin.bytes().data() + word.length(), 0, piece.offset - word.length());
  std::memcpy(pin.bytes().data() + piece.offset, data.data(), data.size());
  if (end > word.length()) publish(map, slot, word.with_length(end));
  touch(slot, piece, false);
}

// Opens the block: its old contents, where they are not overwritten, and the new ones in a new object.
Result<void> BlockStore::replace_raw(BlockMap& map, uint32_t slot_id, const Piece& piece,
                                     std::span<const std::byte> data) {
  BlockSlot& slot = slots_[slot_id];
  const BlockWord before = word_of(slot);
  const auto end = uint32_t(piece.offset + data.size());
  const uint32_t length = std::max(end, before.length());
  // Room for all that is promised, so that what follows is written in place.
  const uint32_t capacity = raw_capacity(std::max(length, before.reserved()));
  const auto handle =
      allocate_raw(capacity, slot_id, end <= before.reserved() ? Admission::kPromised : Admission::kCapped);
  if (!handle) return fail(handle.error());
  {
    const Pin pin = pool_.pin(*handle);
    const bool keeps_old = before.length() > 0 && (piece.offset > 0 || end < before.length());
    if (keeps_old) {
      if (auto copied = read_block(slot, 0, pin.bytes().first(before.length())); !copied) {
        pool_.free(*handle);
        return copied;
      }
    }
    const uint32_t old_end = keeps_old ? before.length() : 0;
    if (piece.offset > old_end) std::memset(pin.bytes().data() + old_end, 0, piece.offset - old_end);
    std::memcpy(pin.bytes().data() + piece.offset, data.data(), data.size());
  }
  publish(map, slot, BlockWord(BlockForm::kRaw, length, *handle));
  touch(slot, piece, before.form() != BlockForm::kRaw);
  slot.set_owner(piece.owner);
  return {};
}

Result<Handle> BlockStore::allocate_raw(uint32_t capacity, uint32_t slot_id, Admission admission) {
  if (admission == Admission::kCapped && !room_for_raw(capacity)) return fail(std::errc::no_space_on_device);
  return pool_.allocate(capacity, slot_id, 0, admission);
}

bool BlockStore::room_for_raw(Bytes bytes) {
  if (budget_.available() >= bytes + kSealHeadroom) return true;
  pool_.release_free_spans(bytes + kSealHeadroom);
  return budget_.available() >= bytes + kSealHeadroom;
}

// At the memory cap: turns raw blocks into sealed ones. False if that brought nothing.
bool BlockStore::make_room() {
  const Bytes hot_before = hot_bytes();
  seal(kSealedPerRoomMade, true, Effort::kFast);
  const Bytes released = pool_.release_free_spans(kSealedPerRoomMade * options_.block_size);
  return released > 0 || hot_bytes() < hot_before;
}

// Compresses the block's new contents without opening it. The caller keeps other writers of the owner away, so what is
// read under the first lock still holds under the last.
Result<void> BlockStore::write_sealed(const Piece& piece, std::span<const std::byte> data, const Sealing& sealing) {
  Stripe& stripe = stripe_of(piece.owner);
  std::span<const std::byte> contents = data;
  uint32_t slot_id = 0;
  {
    WriterLock lock(stripe.mutex);
    const auto found = slot_for(stripe, piece, sealing.admission);
    if (!found) return fail(found.error());
    slot_id = *found;
    const uint32_t old_length = word_of(slots_[slot_id]).length();
    const size_t length = std::max<size_t>(piece.offset + data.size(), old_length);
    if (data.size() < length) {
      const auto merged = scratch(ScratchUse::kContents, length);
      if (auto copied = read_block(slots_[slot_id], 0, merged); !copied) return copied;
      std::memcpy(merged.data() + piece.offset, data.data(), data.size());
      contents = merged;
    }
  }
  // A fill that changes leaves a hole for a moment, which only a write of the whole block can make good after a crash.
  const bool may_fill = contents.data() == data.data();
  const auto sealed =
      make_sealed(contents, slot_id, {effort_for(piece.index, sealing.effort), may_fill, sealing.admission});
  WriterLock lock(stripe.mutex);
  if (!sealed) {
    discard_if_hole(stripe, piece, slot_id);
    return fail(sealed.error());
  }
  publish_sealed(stripe.maps[piece.owner], slots_[slot_id], piece, *sealed);
  slots_[slot_id].set_owner(piece.owner);
  return {};
}

bool BlockStore::within_logical_limit(const Piece& piece, size_t size) const {
  if (options_.logical_limit == 0) return true;
  const BlockWord word = word_at(piece);
  const size_t counted = std::max(word.length(), word.reserved());
  const size_t end = piece.offset + size;
  return end <= counted || counters_.logical.load() + (end - counted) <= options_.logical_limit;
}

}  // namespace ztmpfs
