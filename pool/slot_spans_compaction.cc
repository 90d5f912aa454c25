#include "pool/slot_spans.h"

namespace ztmpfs {

SlotSpans::CompactStep SlotSpans::compact_step(uint32_t& destination, uint32_t objects_max, const Mover& mover) {
  if (spans_freeable() == 0) return {};
  Span* target = kept_destination(destination);
  Span* source = find_source(target, mover);
  if (source == nullptr && target != nullptr) {
    // Only what was filled so far may be moved.
    source = find_source(nullptr, mover);
    target = nullptr;
  }
  if (target == nullptr) target = find_destination(source, mover);
  if (source == nullptr || target == nullptr) return {.stuck = true};
  destination = target->first_page;
  CompactStep step{.objects_moved = pour(*source, *target, objects_max, mover)};
  if (source->used == 0) {
    step.emptied_page = source->first_page;
    spans_.erase(step.emptied_page);
  }
  return step;
}

// The span with fewest objects that no reader or writer is in. Under the mutex nobody can pin it any more.
SlotSpans::Span* SlotSpans::find_source(const Span* except, const Mover& mover) {
  for (uint32_t group = occupied_.next_set(0); group < groups_.size(); group = occupied_.next_set(group + 1))
    for (Span* span = groups_[group]; span != nullptr; span = span->next) {
      if (span == except || span->pins.load(std::memory_order_acquire) != 0) continue;
      if (!mover.is_usable || mover.is_usable(span->first_page)) return span;
    }
  return nullptr;
}

// The span with most objects of those with a free slot.
SlotSpans::Span* SlotSpans::find_destination(const Span* except, const Mover& mover) {
  for (uint32_t end = occupied_.end_of_last_run(); end > 0; end = occupied_.end_of_last_run(end - 1))
    for (Span* span = groups_[end - 1]; span != nullptr; span = span->next)
      if (span != except && (!mover.is_usable || mover.is_usable(span->first_page))) return span;
  return nullptr;
}

SlotSpans::Span* SlotSpans::kept_destination(uint32_t first_page) {
  const auto entry = spans_.find(first_page);
  return entry == spans_.end() || is_full(entry->second) ? nullptr : &entry->second;
}

// Moves objects until the source is empty, the destination full, or enough are moved; how many. An empty source is in
// no group any more.
uint32_t SlotSpans::pour(Span& source, Span& destination, uint32_t objects_max, const Mover& mover) {
  leave_group(source);
  uint32_t moved = 0;
  for (uint32_t slot = 0; source.used > 0 && !is_full(destination) && moved < objects_max; ++slot) {
    const Handle handle = source.handles[slot];
    if (handle == 0) continue;
    --used_;  // take_slot() counts it again
    const uint32_t to = take_slot(destination, handle);
    mover.move(handle, {source.first_page, slot}, {destination.first_page, to});
    source.handles[slot] = 0;
    --source.used;
    source.lowest_free = std::min(source.lowest_free, uint16_t(slot));
    ++moved;
  }
  if (source.used > 0) join_group(source);
  return moved;
}

}  // namespace ztmpfs
