#include "pool/pool.h"

#include <cstring>
#include <stdexcept>

#include "base/check.h"
#include "base/durable_store.h"

namespace ztmpfs {

namespace {

void check_size(size_t size) { ZTMPFS_CHECK(size >= 1 && size <= Pool::kObjectSizeMax, "no object has this size"); }

[[noreturn]] void throw_corrupt(Handle handle, const char* reason) {
  throw std::runtime_error("the image is damaged: object " + std::to_string(handle) + " " + reason);
}

// A record that no place can be right for is corrupt; whether the place is taken twice is found out when it is taken.
void validate(Handle handle, uint32_t size, uint64_t word) {
  const Location location = Location::decode(word);
  if (size == 0 || size > Pool::kObjectSizeMax) throw_corrupt(handle, "has an impossible size");
  if (location.encode() != word) throw_corrupt(handle, "has a place that nothing is ever given");
  if (!location.has_run() && size > slot_size_max()) throw_corrupt(handle, "does not fit a slot");
  const Layout layout = location.layout(size);
  if ((layout.run_pages != 0) != location.has_run() || (layout.slot_bytes != 0) != location.has_slot())
    throw_corrupt(handle, "has a place that does not go with its size");
}

}  // namespace

Pool::Pool(Region handles, Arena& arena, MemoryBudget& budget, Bytes stock_max)
    : arena_(arena), handle_region_(handles), handles_(handles, budget) {
  if (arena.pages() > Location::kPagesMax)
    throw std::invalid_argument("an arena of " + format_bytes(arena.pages() * kPageSize) + " is too large");
  for (const SizeClass& size_class : size_classes().first(slot_class_count()))
    spans_.push_back(std::make_unique<SlotSpans>(size_class));
  arena.set_stock_max(stock_max);
}

Pool::~Pool() = default;

void Pool::attach(const std::function<bool(Handle, const HandleRecord&)>& is_live) {
  handles_.attach([&](Handle handle, HandleRecord& record) {
    if (record.location.load(std::memory_order_acquire) == 0) return false;
    if (!is_live(handle, record)) {
      durable_store(record.location, 0);
      return false;
    }
    adopt(handle, record);
    return true;
  });
  arena_.finish_attach();
}

void Pool::adopt(Handle handle, const HandleRecord& record) {
  const uint64_t word = record.location.load(std::memory_order_relaxed);
  validate(handle, record.size, word);
  const Location location = Location::decode(word);
  const Layout layout = location.layout(record.size);
  if (location.has_run()) {
    if (!arena_.adopt(location.run_page, layout.run_pages)) throw_corrupt(handle, "lies where another object lies");
    runs_used_[layout.run_pages].fetch_add(1, std::memory_order_relaxed);
  }
  if (location.has_slot()) {
    SlotSpans& spans = spans_for(layout.slot_bytes);
    MutexLock lock(spans.mutex);
    const auto adopted = spans.adopt({location.span_page, location.slot}, handle);
    if (adopted == SlotSpans::Adopted::kConflict) throw_corrupt(handle, "lies in a slot that cannot be its own");
    if (adopted == SlotSpans::Adopted::kInNewSpan &&
        !arena_.adopt(location.span_page, spans.size_class().pages_per_span))
      throw_corrupt(handle, "lies in a span that overlaps another");
  }
  objects_used_.fetch_add(1, std::memory_order_relaxed);
  payload_.fetch_add(record.size, std::memory_order_relaxed);
}

Result<Handle> Pool::allocate(uint32_t size, uint32_t owner, uint64_t tag, Admission admission) {
  check_size(size);
  return create({{.location = 0, .tag = tag, .owner = owner, .size = size}, contiguous_layout(size), admission});
}

Result<Handle> Pool::allocate_packed(std::span<const std::byte> bytes, uint32_t owner, uint64_t tag,
                                     Admission admission) {
  check_size(bytes.size());
  const auto size = uint32_t(bytes.size());
  const auto handle =
      create({{.location = 0, .tag = tag, .owner = owner, .size = size}, packed_layout(size), admission});
  if (!handle) return handle;
  const Pieces pieces = pin_pieces(*handle);
  const Pin unpin_at_end({}, pieces.pins);
  if (!pieces.run.empty()) std::memcpy(pieces.run.data(), bytes.data(), pieces.run.size());
  if (!pieces.slot.empty()) std::memcpy(pieces.slot.data(), bytes.data() + pieces.run.size(), pieces.slot.size());
  return handle;
}

Result<Handle> Pool::create(const Order& order) {
  const Handle handle = handles_.allocator().allocate(order.admission);
  if (handle == 0) return fail(std::errc::no_space_on_device);
  if (const auto placed = place(handle, order); !placed) {
    handles_.allocator().release(handle);
    return fail(placed.error());
  }
  objects_used_.fetch_add(1, std::memory_order_relaxed);
  payload_.fetch_add(order.contents.size, std::memory_order_relaxed);
  return handle;
}

Result<void> Pool::place(Handle handle, const Order& order) {
  const Layout& layout = order.layout;
  Location location;
  if (layout.run_pages != 0) {
    const auto run = arena_.allocate(layout.run_pages, order.admission);
    if (!run) return fail(run.error());
    location.run_page = *run;
  }
  if (layout.slot_bytes == 0) {
    publish(handle, order.contents, location);
  } else if (const auto placed = place_slot(handle, order, location); !placed) {
    if (layout.run_pages != 0) arena_.release(location.run_page, layout.run_pages);
    return placed;
  }
  if (layout.run_pages != 0) runs_used_[layout.run_pages].fetch_add(1, std::memory_order_relaxed);
  return {};
}

// Takes a slot and publishes the object under the class's mutex, so that slot and location always agree under it.
Result<void> Pool::place_slot(Handle handle, const Order& order, Location location) {
  SlotSpans& spans = spans_for(order.layout.slot_bytes);
  MutexLock lock(spans.mutex);
  auto place = spans.take(handle);
  if (!place) {
    // As in the kernel, two threads that meet here both add a span.
    lock.unlock();
    const auto span = arena_.allocate(spans.size_class().pages_per_span, order.admission);
    if (!span) return fail(span.error());
    lock.lock();
    place = spans.add(*span, handle);
  }
  location.span_page = place->first_page;
  location.slot = place->slot;
  publish(handle, order.contents, location);
  return {};
}

void Pool::publish(Handle handle, const HandleRecord& contents, Location location) {
  HandleRecord& record = handles_[handle];
  kill_point();
  record.tag = contents.tag;
  record.owner = contents.owner;
  record.size = contents.size;
  durable_store(record.location, location.encode());
}

void Pool::free(Handle handle) {
  HandleRecord& record = handles_[handle];
  const uint32_t size = record.size;
  Location location = Location::decode(record.location.load(std::memory_order_acquire));
  ZTMPFS_CHECK(location.has_run() || location.has_slot(), "an object was freed twice");
  const Layout layout = location.layout(size);
  bool span_emptied = false;
  if (location.has_slot()) {
    SlotSpans& spans = spans_for(layout.slot_bytes);
    MutexLock lock(spans.mutex);
    location = Location::decode(record.location.load(std::memory_order_relaxed));  // the slot may have moved until now
    durable_store(record.location, 0);
    span_emptied = spans.put({location.span_page, location.slot}, handle);
  } else {
    durable_store(record.location, 0);
  }
  if (span_emptied) arena_.release(location.span_page, spans_for(layout.slot_bytes).size_class().pages_per_span);
  if (location.has_run()) {
    runs_used_[layout.run_pages].fetch_sub(1, std::memory_order_relaxed);
    arena_.release(location.run_page, layout.run_pages);
  }
  handles_.allocator().release(handle);
  objects_used_.fetch_sub(1, std::memory_order_relaxed);
  payload_.fetch_sub(size, std::memory_order_relaxed);
}

Pin Pool::pin(Handle handle) const {
  const Pieces pieces = pin_pieces(handle);
  if (pieces.slot.empty()) return Pin(pieces.run, nullptr);  // a run never moves
  if (pieces.run.empty()) return Pin(pieces.slot, pieces.pins);
  const Pin unpin_at_end({}, pieces.pins);
  const size_t size = pieces.run.size() + pieces.slot.size();
  auto copy = std::make_unique_for_overwrite<std::byte[]>(size);
  std::memcpy(copy.get(), pieces.run.data(), pieces.run.size());
  std::memcpy(copy.get() + pieces.run.size(), pieces.slot.data(), pieces.slot.size());
  return Pin(std::move(copy), size);
}

Pool::Pieces Pool::pin_pieces(Handle handle) const {
  const HandleRecord& record = handles_[handle];
  Location location = Location::decode(record.location.load(std::memory_order_acquire));
  ZTMPFS_CHECK(location.has_run() || location.has_slot(), "a freed object was pinned");
  const Layout layout = location.layout(record.size);
  Pieces pieces;
  if (location.has_slot()) {
    SlotSpans& spans = spans_for(layout.slot_bytes);
    MutexLock lock(spans.mutex);
    location = Location::decode(record.location.load(std::memory_order_relaxed));  // the slot may have moved until now
    pieces.pins = &spans.pins(location.span_page);
    pieces.pins->fetch_add(1, std::memory_order_relaxed);
    const auto span = arena_.bytes(location.span_page, spans.size_class().pages_per_span);
    pieces.slot = span.subspan(size_t(location.slot) * spans.size_class().object_size, layout.slot_bytes);
  }
  if (location.has_run()) {
    const size_t length = record.size - layout.slot_bytes;
    pieces.run = arena_.bytes(location.run_page, layout.run_pages).first(length);
  }
  return pieces;
}

uint32_t Pool::size(Handle handle) const { return handles_[handle].size; }

uint64_t Pool::tag(Handle handle) const { return handles_[handle].tag; }

void Pool::set_tag(Handle handle, uint64_t tag) { durable_store(handles_[handle].tag, tag); }

uint32_t Pool::class_size(uint32_t size) const {
  check_size(size);
  return layout_size(packed_layout(size));
}

Bytes Pool::release_free_spans(Bytes budget) { return arena_.release_stock(budget); }

PoolStats Pool::stats() const {
  return {.objects_used = objects_used_.load(std::memory_order_relaxed),
          .payload = payload_.load(std::memory_order_relaxed),
          .span_bytes = arena_.used(),
          .free_span_bytes = arena_.stock(),
          .handle_bytes = handles_.allocator().resident(),
          .freeable = compactable(),
          .pages_compacted = pages_compacted_.load(std::memory_order_relaxed)};
}

std::vector<SizeClassStats> Pool::class_stats() const {
  std::vector<SizeClassStats> result;
  for (const auto& spans : spans_) {
    MutexLock lock(spans->mutex);
    result.push_back(spans->stats());
  }
  for (uint32_t pages = 1; pages <= kRunPagesMax; ++pages) {
    const uint64_t used = runs_used_[pages].load(std::memory_order_relaxed);
    const SizeClass& run = size_classes()[run_class(pages)];
    result.push_back({run.object_size, run.pages_per_span, run.objects_per_span, used, used, used * pages, 0});
  }
  return result;
}

}  // namespace ztmpfs
