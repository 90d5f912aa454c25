#include "pool/slot_spans.h"

#include <algorithm>

#include "base/check.h"

namespace ztmpfs {

std::optional<SlotSpans::Place> SlotSpans::take(Handle handle) {
  const uint32_t end = occupied_.end_of_last_run();
  if (end == 0) return std::nullopt;
  Span& span = *groups_[end - 1];
  return Place{span.first_page, take_slot(span, handle)};
}

SlotSpans::Place SlotSpans::add(uint32_t first_page, Handle handle) {
  const Adopted adopted = adopt({first_page, 0}, handle);
  ZTMPFS_CHECK(adopted == Adopted::kInNewSpan, "two spans begin at one page");
  return {first_page, 0};
}

bool SlotSpans::put(Place place, Handle handle) {
  Span& span = find(place.first_page);
  ZTMPFS_CHECK(place.slot < size_class_.objects_per_span && span.handles[place.slot] == handle,
               "a slot does not hold the object that is freed");
  leave_group(span);
  span.handles[place.slot] = 0;
  span.lowest_free = std::min(span.lowest_free, uint16_t(place.slot));
  --used_;
  if (--span.used > 0) {
    join_group(span);
    return false;
  }
  ZTMPFS_CHECK(span.pins.load(std::memory_order_acquire) == 0, "an object was freed while it was pinned");
  spans_.erase(place.first_page);
  return true;
}

std::atomic<uint32_t>& SlotSpans::pins(uint32_t first_page) { return find(first_page).pins; }

SlotSpans::Adopted SlotSpans::adopt(Place place, Handle handle) {
  if (place.slot >= size_class_.objects_per_span) return Adopted::kConflict;
  const auto [entry, added] = spans_.try_emplace(place.first_page, place.first_page, size_class_.objects_per_span);
  Span& span = entry->second;
  if (span.handles[place.slot] != 0) return Adopted::kConflict;
  if (!added) leave_group(span);
  span.handles[place.slot] = handle;
  ++span.used;
  ++used_;
  join_group(span);
  return added ? Adopted::kInNewSpan : Adopted::kInKnownSpan;
}

SizeClassStats SlotSpans::stats() const {
  const uint64_t allocated = spans_.size() * size_class_.objects_per_span;
  return {.object_size = size_class_.object_size,
          .pages_per_span = size_class_.pages_per_span,
          .objects_per_span = size_class_.objects_per_span,
          .objects_allocated = allocated,
          .objects_used = used_,
          .pages_used = spans_.size() * size_class_.pages_per_span,
          .pages_freeable = spans_freeable() * size_class_.pages_per_span};
}

uint64_t SlotSpans::spans_freeable() const {
  const uint64_t allocated = spans_.size() * size_class_.objects_per_span;
  return (allocated - used_) / size_class_.objects_per_span;
}

Handle SlotSpans::handle_at(Place place) const {
  const auto entry = spans_.find(place.first_page);
  if (entry == spans_.end() || place.slot >= size_class_.objects_per_span) return 0;
  return entry->second.handles[place.slot];
}

void SlotSpans::join_group(Span& span) {
  if (is_full(span)) return;
  Span*& head = groups_[span.used];
  span.previous = nullptr;
  span.next = head;
  if (head != nullptr) head->previous = &span;
  head = &span;
  occupied_.set(span.used, 1);
}

void SlotSpans::leave_group(Span& span) {
  if (is_full(span)) return;
  if (span.next != nullptr) span.next->previous = span.previous;
  if (span.previous != nullptr) {
    span.previous->next = span.next;
  } else {
    groups_[span.used] = span.next;
    if (span.next == nullptr) occupied_.clear(span.used, 1);
  }
}

uint32_t SlotSpans::take_slot(Span& span, Handle handle) {
  leave_group(span);
  uint32_t slot = span.lowest_free;
  while (span.handles[slot] != 0) ++slot;  // a span that is not full has a free slot at or above lowest_free
  span.handles[slot] = handle;
  span.lowest_free = uint16_t(slot + 1);
  ++span.used;
  ++used_;
  join_group(span);
  return slot;
}

SlotSpans::Span& SlotSpans::find(uint32_t first_page) {
  const auto entry = spans_.find(first_page);
  ZTMPFS_CHECK(entry != spans_.end(), "an object lies in no span");
  return entry->second;
}

void SlotSpans::audit(std::vector<std::string>& breaches) const {
  uint64_t used = 0;
  uint64_t partial = 0;
  for (const auto& [first_page, span] : spans_) {
    audit_span(span, breaches);
    used += span.used;
    partial += is_full(span) ? 0 : 1;
  }
  bool is_listed_right = true;
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    is_listed_right &= (groups_[group] != nullptr) == (occupied_.count(group, 1) != 0);
    for (const Span* span = groups_[group]; span != nullptr; span = span->next) {
      is_listed_right &= span->used == group;
      --partial;
    }
  }
  const std::string name = "class of " + std::to_string(size_class_.object_size) + " bytes: ";
  if (used != used_) breaches.push_back(name + "the count of used slots is wrong");
  if (partial != 0 || !is_listed_right)
    breaches.push_back(name + "the fullness groups do not hold each partly filled span once");
}

void SlotSpans::audit_span(const Span& span, std::vector<std::string>& breaches) const {
  const std::string name = "span at page " + std::to_string(span.first_page) + ": ";
  const Handle* begin = span.handles.get();
  const Handle* end = begin + size_class_.objects_per_span;
  if (end - begin - std::count(begin, end, 0U) != span.used) breaches.push_back(name + "the count of objects is wrong");
  if (span.used == 0) breaches.push_back(name + "it is empty, but still there");
  if (std::count(begin, begin + span.lowest_free, 0U) != 0)
    breaches.push_back(name + "a free slot lies below the lowest");
}

}  // namespace ztmpfs
