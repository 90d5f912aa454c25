#include "pool/size_class.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/check.h"

namespace ztmpfs {

namespace {

constexpr uint32_t kPage = uint32_t(kPageSize);
constexpr uint32_t kStepMin = 16;
constexpr uint32_t kStepMax = 128;
constexpr uint32_t kStepsPerDoubling = 8;
constexpr uint32_t kSpanPagesMax = 8;
constexpr uint32_t kSlotsPerSpanMax = 256;
constexpr uint32_t kSlotAlignment = 8;

struct Table {
  std::array<SizeClass, 128> classes{};
  uint32_t count = 0;
  uint32_t slot_count = 0;
  std::array<uint8_t, kPage / kSlotAlignment + 1> class_of{};  // by size in units of 8 bytes, rounded up

  constexpr void add(SizeClass size_class) { classes[count++] = size_class; }
};

// True if at most 2 % of the span lie behind its last slot.
constexpr bool is_tight(uint32_t waste, uint32_t pages) { return waste * 50 <= pages * kPage; }

constexpr SizeClass make_slot_class(uint32_t nominal_size) {
  SizeClass best{};
  uint64_t best_waste = 1;
  uint64_t best_length = 1;
  for (uint32_t pages = 1; pages <= kSpanPagesMax; ++pages) {
    const uint32_t length = pages * kPage;
    const uint32_t objects = length / nominal_size;
    if (objects > kSlotsPerSpanMax) break;
    const uint32_t waste = length - objects * nominal_size;
    if (waste * best_length >= best_waste * length) continue;  // compares shares of the span, not bytes
    best_waste = waste;
    best_length = length;
    best = {length / objects / kSlotAlignment * kSlotAlignment, pages, objects};
    if (is_tight(waste, pages)) break;
  }
  return best;
}

constexpr uint32_t step_after(uint32_t size) {
  return std::clamp(std::bit_floor(size) / kStepsPerDoubling, kStepMin, kStepMax);
}

constexpr void add_slots(Table& table) {
  for (uint32_t size = kStepMin; size < kPage; size += step_after(size)) {
    const SizeClass made = make_slot_class(size);
    // A slot that grows to a page is a run of one page.
    if (made.objects_per_span <= made.pages_per_span) continue;
    if (table.count > 0) {
      const SizeClass& last = table.classes[table.count - 1];
      if (last.pages_per_span == made.pages_per_span && last.objects_per_span == made.objects_per_span) continue;
      // A smaller nominal size may have grown to the same slot with a longer span.
      if (last.object_size >= made.object_size) --table.count;
    }
    table.add(made);
  }
  table.slot_count = table.count;
}

constexpr Table make_table() {
  Table table;
  add_slots(table);
  for (uint32_t pages = 1; pages <= kRunPagesMax; ++pages) table.add({pages * kPage, pages, 1});
  uint32_t index = 0;
  for (uint32_t units = 0; units < table.class_of.size(); ++units) {
    while (table.classes[index].object_size < units * kSlotAlignment) ++index;
    table.class_of[units] = uint8_t(index);
  }
  return table;
}

constexpr Table kTable = make_table();

}  // namespace

std::span<const SizeClass> size_classes() { return std::span(kTable.classes).first(kTable.count); }

uint32_t slot_class_count() { return kTable.slot_count; }

uint32_t slot_class(uint32_t bytes) {
  ZTMPFS_CHECK(bytes > 0 && bytes <= slot_size_max(), "no slot has this size");
  return kTable.class_of[(bytes + kSlotAlignment - 1) / kSlotAlignment];
}

uint32_t slot_size_max() { return kTable.classes[kTable.slot_count - 1].object_size; }

Layout contiguous_layout(uint32_t size) {
  if (size <= slot_size_max()) return {0, size};
  return {(size + kPage - 1) / kPage, 0};
}

Layout packed_layout(uint32_t size) {
  const uint32_t rest = size % kPage;
  if (rest > slot_size_max()) return {size / kPage + 1, 0};
  return {size / kPage, rest};
}

uint32_t layout_size(Layout layout) {
  const uint32_t slot = layout.slot_bytes == 0 ? 0 : kTable.classes[slot_class(layout.slot_bytes)].object_size;
  return layout.run_pages * kPage + slot;
}

}  // namespace ztmpfs
