#include <string>
#include <vector>

#include "pool/pool.h"

namespace ztmpfs {

/// What a walk over the handle table finds, to be compared with what the pool believes.
class Pool::Audit {
 public:
  explicit Audit(const Pool& pool) : pool_(pool) {}

  void visit(Handle handle) {
    const HandleRecord& record = pool_.handles_[handle];
    const uint64_t word = record.location.load(std::memory_order_acquire);
    if (pool_.handles_.contains(handle) != (word != 0)) {
      breach(handle, word == 0 ? "is allocated, but lies nowhere" : "is free, but has a place");
      return;
    }
    if (word == 0) return;
    ++objects_;
    payload_ += record.size;
    check_pieces(handle, record.size, Location::decode(word));
  }

  std::vector<std::string> finish() {
    check_counters();
    for (const auto& spans : pool_.spans_) {
      MutexLock lock(spans->mutex);
      spans->audit(breaches_);
    }
    pool_.arena_.audit(breaches_);
    return std::move(breaches_);
  }

 private:
  void breach(Handle handle, const char* reason) {
    breaches_.push_back("object " + std::to_string(handle) + " " + reason);
  }

  void check_pieces(Handle handle, uint32_t size, Location location) {
    if (size == 0 || size > kObjectSizeMax || (!location.has_run() && size > slot_size_max())) {
      breach(handle, "has an impossible size");
      return;
    }
    const Layout layout = location.layout(size);
    if (location.has_run()) {
      ++pieces_[run_class(layout.run_pages)];
      take_pages(handle, location.run_page, layout.run_pages);
    }
    if (!location.has_slot()) return;
    const uint32_t index = slot_class(layout.slot_bytes);
    ++pieces_[index];
    SlotSpans& spans = *pool_.spans_[index];
    MutexLock lock(spans.mutex);
    if (spans.handle_at({location.span_page, location.slot}) != handle) breach(handle, "is not in the slot it names");
    // The first slot in use stands for its span: no span is without one, and none is counted twice.
    for (uint32_t slot = 0; slot < location.slot; ++slot)
      if (spans.handle_at({location.span_page, slot}) != 0) return;
    take_pages(handle, location.span_page, spans.size_class().pages_per_span);
  }

  void take_pages(Handle handle, uint32_t first_page, uint32_t pages) {
    if (first_page + pages > pool_.arena_.pages()) {
      breach(handle, "lies outside the arena");
      return;
    }
    if (pages_.size() < first_page + pages) pages_.resize(first_page + pages);
    for (uint32_t page = first_page; page < first_page + pages; ++page) {
      if (pages_[page]) breach(handle, "shares a page with another run or span");
      pages_[page] = true;
      ++pages_used_;
    }
  }

  void check_counters() {
    const PoolStats stats = pool_.stats();
    if (stats.objects_used != objects_) breaches_.push_back("pool: the count of objects is wrong");
    if (stats.payload != payload_) breaches_.push_back("pool: the sum of sizes is wrong");
    if (stats.span_bytes != pages_used_ * kPageSize)
      breaches_.push_back("pool: pages are used that belong to no object, or the other way round");
    if (pool_.handles_.allocator().records_used() != objects_)
      breaches_.push_back("pool: the handle table counts other objects than it holds");
    const auto classes = pool_.class_stats();
    for (size_t index = 0; index < classes.size(); ++index)
      if (classes[index].objects_used != pieces_[index])
        breaches_.push_back("class of " + std::to_string(classes[index].object_size) +
                            " bytes: its objects are not those of the handle table");
  }

  const Pool& pool_;
  std::vector<std::string> breaches_;
  std::vector<bool> pages_;  // by page of the arena: belongs to a run or span
  std::vector<uint64_t> pieces_ = std::vector<uint64_t>(size_classes().size());
  uint64_t pages_used_ = 0;
  uint64_t objects_ = 0;
  Bytes payload_ = 0;
};

std::vector<std::string> Pool::audit() const {
  Audit audit(*this);
  constexpr uint32_t kRecordsPerPage = DurableTable<HandleRecord>::kRecordsPerPage;
  handle_region_.for_each_resident([&](Bytes offset, Bytes length) {
    const auto end = Handle((offset + length) / kPageSize * kRecordsPerPage);
    for (auto handle = Handle(offset / kPageSize * kRecordsPerPage); handle < end; ++handle)
      if (handle != 0) audit.visit(handle);
  });
  return audit.finish();
}

}  // namespace ztmpfs
