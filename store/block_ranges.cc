// What happens to ranges of blocks: reserve, punch, copy, and where contents are.
#include <algorithm>
#include <bit>
#include <cstring>

#include "base/durable_store.h"
#include "store/block_store.h"
#include "store/object_tag.h"
#include "store/scratch.h"

namespace ztmpfs {

namespace {

constexpr Bytes kPunchStep = kMiB;
constexpr size_t kBlocksPerPunchStep = 4096;

uint32_t round_up_to_page(uint32_t bytes) { return uint32_t((bytes + kPageSize - 1) / kPageSize * kPageSize); }

std::span<const std::byte> zeros(size_t size) {
  static const std::vector<std::byte> bytes(kObjectSizeMax);
  return std::span(bytes).first(size);
}

}  // namespace

// A reservation on its way: what is promised but not given to blocks yet, and what the blocks were promised before.
struct BlockStore::Reserving {
  struct Run {
    uint64_t first;
    uint64_t count;
    uint32_t before;
  };
  Bytes held = 0;
  std::vector<Run> changed;

  void note(uint64_t index, uint32_t before) {
    if (!changed.empty() && changed.back().before == before && changed.back().first + changed.back().count == index) {
      ++changed.back().count;
    } else {
      changed.push_back({index, 1, before});
    }
  }
};

// The memory that has to be promised, and the growth of the bytes stored, before a range is reserved.
BlockStore::Missing BlockStore::missing_for(OwnerId owner, uint64_t offset, uint64_t end) const {
  const uint64_t first = offset / options_.block_size;
  const uint64_t last = (end - 1) / options_.block_size;
  const auto wanted = [&](uint64_t index) {
    return index == last ? round_up_to_page(uint32_t(end - last * options_.block_size)) : uint32_t(options_.block_size);
  };
  Missing missing{.memory = (last - first) * options_.block_size + raw_capacity(wanted(last)),
                  .logical = (last - first) * options_.block_size + wanted(last)};
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  if (map == stripe.maps.end()) return missing;
  auto block = map->second.next(first);
  for (; block.second != 0 && block.first <= last; block = map->second.next(block.first + 1)) {
    const BlockWord word = word_of(slots_[block.second]);
    const BlockWord reserved = word.with_reserved(std::max(word.reserved(), wanted(block.first)));
    missing.memory -= raw_capacity(wanted(block.first)) - (cost(reserved).promised - cost(word).promised);
    missing.logical -=
        wanted(block.first) - (std::max(word.length(), reserved.reserved()) - std::max(word.length(), word.reserved()));
  }
  return missing;
}

Result<void> BlockStore::reserve(OwnerId owner, uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  // Each whole block takes its size, in memory or as a promise: no need to look when that is too much.
  if (length / options_.block_size > budget_.limit() / options_.block_size + 2)
    return fail(std::errc::no_space_on_device);
  const Missing missing = missing_for(owner, offset, end);
  const Bytes limit = options_.logical_limit;
  if (limit != 0 && counters_.logical.load() + missing.logical > limit) return fail(std::errc::no_space_on_device);
  if (budget_.available() < missing.memory + kSealHeadroom) pool_.release_free_spans(missing.memory + kSealHeadroom);
  if (!budget_.try_promise(missing.memory + kSealHeadroom)) return fail(std::errc::no_space_on_device);
  budget_.end_promise(kSealHeadroom);
  Reserving reserving{.held = missing.memory, .changed = {}};
  Result<void> done;
  const uint64_t last = (end - 1) / options_.block_size;
  for (uint64_t index = offset / options_.block_size; done && index <= last; ++index) {
    const uint64_t wanted = std::min<uint64_t>(end - index * options_.block_size, options_.block_size);
    done = reserve_block({owner, index, 0}, uint32_t(wanted), reserving);
  }
  budget_.end_promise(reserving.held);
  if (!done) unreserve(owner, reserving);
  return done;
}

// The promise goes from the range to the block.
Result<void> BlockStore::reserve_block(const Piece& piece, uint32_t end, Reserving& reserving) {
  Stripe& stripe = stripe_of(piece.owner);
  WriterLock lock(stripe.mutex);
  const auto slot_id = slot_for(stripe, piece, Admission::kCapped);
  if (!slot_id) return fail(slot_id.error());
  BlockSlot& slot = slots_[*slot_id];
  const BlockWord word = word_of(slot);
  const BlockWord reserved = word.with_reserved(std::max(word.reserved(), end));
  if (reserved == word) return {};
  const Bytes promised = cost(reserved).promised - cost(word).promised;
  if (promised > reserving.held) {
    // The block was sealed since the range was looked at.
    if (!budget_.try_promise(promised - reserving.held)) return fail(std::errc::no_space_on_device);
    reserving.held = promised;
  }
  publish_with_reservation(stripe.maps[piece.owner], slot, reserved);
  slot.set_owner(piece.owner);
  budget_.end_promise(promised);
  reserving.held -= promised;
  reserving.note(piece.index, word.reserved());
  return {};
}

void BlockStore::unreserve(OwnerId owner, const Reserving& reserving) {
  Stripe& stripe = stripe_of(owner);
  for (const auto& run : reserving.changed) {
    for (uint64_t index = run.first; index < run.first + run.count; ++index) {
      WriterLock lock(stripe.mutex);
      const auto found = stripe.maps.find(owner);
      if (found == stripe.maps.end()) return;
      const uint32_t slot_id = found->second.find(index);
      if (slot_id == 0) continue;
      const BlockWord word = word_of(slots_[slot_id]).with_reserved(run.before);
      if (word.is_nothing()) {
        drop_block(found->second, index, slot_id);
      } else {
        publish_with_reservation(found->second, slots_[slot_id], word);
      }
      drop_if_empty(stripe, owner);
    }
  }
}

Result<uint64_t> BlockStore::punch(OwnerId owner, uint64_t offset, uint64_t end, Reservation reservation) {
  Stripe& stripe = stripe_of(owner);
  Bytes freed = 0;
  for (size_t blocks = 0; offset < end && freed <= kPunchStep && blocks < kBlocksPerPunchStep; ++blocks) {
    Piece piece{};
    uint32_t piece_end = 0;
    Effort effort = Effort::kFast;
    {
      WriterLock lock(stripe.mutex);
      const auto found = stripe.maps.find(owner);
      if (found == stripe.maps.end()) return end;
      const auto [index, slot_id] = found->second.next(offset / options_.block_size);
      const uint64_t begin = index * options_.block_size;
      if (slot_id == 0 || begin >= end) return end;
      piece = {owner, index, begin < offset ? uint32_t(offset - begin) : 0};
      piece_end = uint32_t(std::min<uint64_t>(end - begin, options_.block_size));
      const BlockWord word = word_of(slots_[slot_id]);
      freed += word.length();
      if (word.form() == BlockForm::kCompressed && !is_to_be_recompressed(word, index)) effort = Effort::kThorough;
      offset = begin + piece_end;
      const bool done = punch_block(found->second, piece, piece_end, reservation);
      drop_if_empty(stripe, owner);
      if (done) continue;
    }
    // The room is never refused: with the same codec what is left of the block takes about as much as before.
    const Sealing sealing{.effort = effort, .admission = Admission::kPromised};
    if (auto done = write_sealed(piece, zeros(piece_end - piece.offset), sealing); !done) return fail(done.error());
  }
  return offset;
}

// False if the middle of a sealed block is to be punched: that has to be compressed again.
bool BlockStore::punch_block(BlockMap& map, const Piece& piece, uint32_t end, Reservation reservation) {
  const uint32_t slot_id = map.find(piece.index);
  BlockSlot& slot = slots_[slot_id];
  const BlockWord word = word_of(slot);
  const bool ends = reservation == Reservation::kEnds && end >= word.reserved();
  const uint32_t reserved = ends ? std::min(word.reserved(), piece.offset) : word.reserved();
  if (end >= word.length()) {
    const uint32_t length = std::min(word.length(), piece.offset);
    const BlockWord left = (length == 0 ? BlockWord() : word.with_length(length)).with_reserved(reserved);
    if (left.is_nothing()) {
      drop_block(map, piece.index, slot_id);
    } else if (left != word) {
      publish_with_reservation(map, slot, left);
    }
    return true;
  }
  if (reserved != word.reserved()) publish_with_reservation(map, slot, word.with_reserved(reserved));
  if (word.form() == BlockForm::kSameFilled) return slot.auxiliary == 0;
  if (word.form() != BlockForm::kRaw) return false;
  const Pin pin = pool_.pin(word.handle());
  kill_point();
  std::memset(pin.bytes().data() + piece.offset, 0, end - piece.offset);
  touch(slot, piece, false);
  return true;
}

Result<size_t> BlockStore::copy(OwnerId from, uint64_t from_offset, OwnerId to, uint64_t to_offset, size_t length) {
  size_t copied = 0;
  while (copied < length) {
    const Piece target{to, (to_offset + copied) / options_.block_size,
                       uint32_t((to_offset + copied) % options_.block_size)};
    const auto size = uint32_t(std::min<size_t>(length - copied, options_.block_size - target.offset));
    if (auto done = copy_piece(from, from_offset + copied, target, size); !done) {
      if (copied > 0) break;
      return fail(done.error());
    }
    copied += size;
  }
  return copied;
}

Result<void> BlockStore::copy_piece(OwnerId from, uint64_t from_offset, const Piece& to, uint32_t size) {
  const auto data = next_data(from, from_offset);
  if (!data || *data >= from_offset + size) {
    uint64_t offset = to.index * options_.block_size + to.offset;
    for (const uint64_t end = offset + size; offset < end;) {
      const auto punched = punch(to.owner, offset, end, Reservation::kStays);
      if (!punched) return fail(punched.error());
      offset = *punched;
    }
    return {};
  }
  if (from_offset % options_.block_size == 0 && to.offset == 0) {
    const auto done = copy_sealed({from, from_offset / options_.block_size, 0}, to, size);
    if (!done) return fail(done.error());
    if (*done) return {};
  }
  const auto contents = scratch(ScratchUse::kCopied, size);
  if (auto done = read(from, from_offset, contents); !done) return done;
  return write_block(to, contents, Admission::kCapped);
}

// Copies a block as it is stored, its checksum too. False if that is not possible: it is open, part of it is not to be
// copied or part of the other to be kept, or there is no room.
Result<bool> BlockStore::copy_sealed(const Piece& from, const Piece& to, uint32_t size) {
  const auto snapshot = sealed_snapshot(from);
  const BlockWord before = word_at(to);
  const bool fits = snapshot && snapshot->word.length() <= size && before.length() <= size && before.reserved() == 0;
  if (!fits || !within_logical_limit(to, snapshot->word.length())) return false;
  const bool is_fill = snapshot->word.form() == BlockForm::kSameFilled;
  // A crash would leave a hole where one fill replaces another.
  if (is_fill && before.form() == BlockForm::kSameFilled) return false;
  Stripe& stripe = stripe_of(to.owner);
  WriterLock lock(stripe.mutex);
  const auto slot_id = slot_for(stripe, to, Admission::kCapped);
  if (!slot_id) return fail(slot_id.error());
  Sealed sealed{.word = snapshot->word.with_reserved(0), .fill = snapshot->fill};
  if (!is_fill) {
    const auto handle = pool_.allocate_packed(snapshot->object, *slot_id, snapshot->tag);
    if (!handle) {
      discard_if_hole(stripe, to, *slot_id);
      return false;
    }
    sealed.word = BlockWord(snapshot->word.form(), snapshot->word.length(), *handle);
    sealed.again = is_to_be_recompressed(sealed.word, to.index);
  }
  publish_sealed(stripe.maps[to.owner], slots_[*slot_id], to, sealed);
  slots_[*slot_id].set_owner(to.owner);
  return true;
}

// The block as it is stored; nothing if it is not sealed.
std::optional<BlockStore::SealedCopy> BlockStore::sealed_snapshot(const Piece& piece) {
  Stripe& stripe = stripe_of(piece.owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(piece.owner);
  const uint32_t slot_id = map == stripe.maps.end() ? 0 : map->second.find(piece.index);
  if (slot_id == 0) return std::nullopt;
  const BlockSlot& slot = slots_[slot_id];
  const BlockWord word = word_of(slot);
  if (word.form() == BlockForm::kSameFilled) return SealedCopy{.word = word, .fill = slot.auxiliary};
  if (!word.is_sealed_object()) return std::nullopt;
  const Pin pin = pool_.pin(word.handle());
  const auto object = scratch(ScratchUse::kCopied, pin.bytes().size());
  std::memcpy(object.data(), pin.bytes().data(), object.size());
  return SealedCopy{.word = word, .tag = pool_.tag(word.handle()), .object = object};
}

std::optional<uint64_t> BlockStore::next_data(OwnerId owner, uint64_t offset) const {
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  if (map == stripe.maps.end()) return std::nullopt;
  auto block = map->second.next(offset / options_.block_size);
  for (; block.second != 0; block = map->second.next(block.first + 1)) {
    const uint64_t begin = block.first * options_.block_size;
    if (begin + round_up_to_page(word_of(slots_[block.second]).length()) > offset) return std::max(begin, offset);
  }
  return std::nullopt;
}

uint64_t BlockStore::next_hole(OwnerId owner, uint64_t offset) const {
  const Stripe& stripe = stripe_of(owner);
  ReaderLock lock(stripe.mutex);
  const auto map = stripe.maps.find(owner);
  if (map == stripe.maps.end()) return offset;
  while (true) {
    const uint64_t index = offset / options_.block_size;
    const uint32_t slot_id = map->second.find(index);
    if (slot_id == 0) return offset;
    const uint64_t end = index * options_.block_size + round_up_to_page(word_of(slots_[slot_id]).length());
    if (end <= offset) return offset;
    if (end < (index + 1) * options_.block_size) return end;
    offset = end;
  }
}

}  // namespace ztmpfs
