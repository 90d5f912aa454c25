#include "base/durable_table.h"

#include <algorithm>
#include <bit>

namespace ztmpfs {

namespace {

// Empty pages kept resident so that a create after a delete pays no page fault.
constexpr uint32_t kEmptyPagesKept = 8;
constexpr uint32_t kNoPage = ~0U;
// A smaller index is not worth shrinking.
constexpr size_t kShrinkPages = 256;

}  // namespace

RecordAllocator::RecordAllocator(Region region, uint32_t records_per_page, MemoryBudget& budget)
    : region_(region),
      records_per_page_(records_per_page),
      pages_max_(uint32_t(std::min<Bytes>(region.length() / kPageSize, (1ULL << 32) / records_per_page - 1))),
      words_per_page_((records_per_page + 63) / 64),
      budget_(budget) {}

uint32_t RecordAllocator::allocate(Admission admission) {
  MutexLock lock(mutex_);
  uint32_t page = find_page();
  if (page == kNoPage) page = commit_page(admission);
  if (page == kNoPage) return 0;
  for (uint32_t record = 0;; record += 64) {
    const uint32_t width = std::min(64U, records_per_page_ - record);
    const uint64_t mask = width == 64 ? ~0ULL : (1ULL << width) - 1;
    const uint64_t free = ~used_word(page, record) & mask;
    if (free == 0) continue;  // find_page() promised that one of the words has a free record
    record += uint32_t(std::countr_zero(free));
    take(page, record);
    return page * records_per_page_ + record;
  }
}

void RecordAllocator::release(uint32_t id) {
  MutexLock lock(mutex_);
  const uint32_t page = id / records_per_page_;
  const uint32_t record = id % records_per_page_;
  ZTMPFS_CHECK(page < pages_.size(), "a record was released that never was");
  uint64_t& word = used_word(page, record);
  ZTMPFS_CHECK(id != 0 && (word >> (record % 64) & 1) != 0, "a record was released twice");
  word &= ~(1ULL << (record % 64));
  --records_used_;
  set_has_free(page, true);
  // Record 0 is taken for ever, so page 0 never empties.
  if (--pages_[page].used != 0) return;
  if (++pages_empty_ > kEmptyPagesKept) punch_page(page);
}

void RecordAllocator::adopt_page(uint32_t page, const uint64_t* used) {
  MutexLock lock(mutex_);
  grow_to(page);
  budget_.charge(kPageSize);
  ++pages_resident_;
  pages_[page].resident = true;
  uint32_t count = 0;
  for (uint32_t word = 0; word < words_per_page_; ++word) {
    used_bits_[size_t(page) * words_per_page_ + word] = used[word];
    count += uint32_t(std::popcount(used[word]));
  }
  records_used_ += count;
  if (page == 0) used_word(0, 0) |= 1;  // number 0 means "none"
  pages_[page].used = uint16_t(count + (page == 0 ? 1 : 0));
  if (pages_[page].used == 0) ++pages_empty_;
  set_has_free(page, pages_[page].used < records_per_page_);
}

void RecordAllocator::finish_attach() {
  MutexLock lock(mutex_);
  for (size_t page = pages_.size(); page-- > 0 && pages_empty_ > 0;)
    if (page < pages_.size() && pages_[page].resident && pages_[page].used == 0) punch_page(uint32_t(page));
}

bool RecordAllocator::copy_used(uint32_t page, uint64_t* used) const {
  MutexLock lock(mutex_);
  if (page >= pages_.size() || pages_[page].used == 0) return false;
  std::copy_n(used_bits_.begin() + ptrdiff_t(size_t(page) * words_per_page_), words_per_page_, used);
  return true;
}

uint32_t RecordAllocator::pages() const {
  MutexLock lock(mutex_);
  return uint32_t(pages_.size());
}

void RecordAllocator::for_each_resident(const std::function<void(uint32_t)>& visit) {
  region_.for_each_resident([&](Bytes offset, Bytes length) {
    const auto last = uint32_t((offset + length) / kPageSize);
    for (auto page = uint32_t(offset / kPageSize); page < last; ++page)
      for (uint32_t record = 0; record < records_per_page_; ++record) visit(page * records_per_page_ + record);
  });
}

bool RecordAllocator::is_used(uint32_t id) const {
  MutexLock lock(mutex_);
  const uint32_t page = id / records_per_page_;
  const uint32_t record = id % records_per_page_;
  if (id == 0 || page >= pages_.size()) return false;
  return (used_bits_[size_t(page) * words_per_page_ + record / 64] >> (record % 64) & 1) != 0;
}

uint64_t RecordAllocator::records_used() const {
  MutexLock lock(mutex_);
  return records_used_;
}

Bytes RecordAllocator::resident() const {
  MutexLock lock(mutex_);
  return pages_resident_ * kPageSize;
}

// The lowest resident page with a free record.
uint32_t RecordAllocator::find_page() {
  for (size_t word = lowest_free_page_ / 64; word < has_free_bits_.size(); ++word) {
    if (has_free_bits_[word] == 0) continue;
    lowest_free_page_ = uint32_t(word * 64) + uint32_t(std::countr_zero(has_free_bits_[word]));
    return lowest_free_page_;
  }
  lowest_free_page_ = uint32_t(pages_.size());
  return kNoPage;
}

// Makes the lowest page that is not resident so.
uint32_t RecordAllocator::commit_page(Admission admission) {
  while (lowest_hole_page_ < pages_.size() && pages_[lowest_hole_page_].resident) ++lowest_hole_page_;
  const uint32_t page = lowest_hole_page_;
  if (page >= pages_max_ || !budget_.try_charge_metadata(kPageSize, admission)) return kNoPage;
  if (!region_.populate(Bytes(page) * kPageSize, kPageSize)) {
    budget_.uncharge(kPageSize);
    return kNoPage;
  }
  grow_to(page);
  pages_[page].resident = true;
  ++pages_resident_;
  ++pages_empty_;
  set_has_free(page, true);
  if (page == 0) {
    take(0, 0);
    --records_used_;
  }
  return page;
}

void RecordAllocator::punch_page(uint32_t page) {
  if (before_punch_) before_punch_(page * records_per_page_);
  region_.punch(Bytes(page) * kPageSize, kPageSize);
  budget_.uncharge(kPageSize);
  pages_[page].resident = false;
  set_has_free(page, false);
  --pages_resident_;
  --pages_empty_;
  lowest_hole_page_ = std::min(lowest_hole_page_, page);
  if (pages_.size() > kShrinkPages && pages_resident_ < pages_.size() / 8) shrink();
}

// After a big removal: forgets pages at the end that are not there.
void RecordAllocator::shrink() {
  size_t pages = pages_.size();
  while (pages > 0 && !pages_[pages - 1].resident) --pages;
  if (pages > pages_.size() / 2) return;
  pages_.resize(pages);
  pages_.shrink_to_fit();
  used_bits_.resize(pages * words_per_page_);
  used_bits_.shrink_to_fit();
  has_free_bits_.resize((pages + 63) / 64);
  has_free_bits_.shrink_to_fit();
}

void RecordAllocator::take(uint32_t page, uint32_t record) {
  uint64_t& word = used_word(page, record);
  const uint64_t bit = 1ULL << (record % 64);
  ZTMPFS_CHECK((word & bit) == 0, "a record was taken twice");
  word |= bit;
  ++records_used_;
  if (pages_[page].used++ == 0 && pages_empty_ > 0) --pages_empty_;
  if (pages_[page].used == records_per_page_) set_has_free(page, false);
}

void RecordAllocator::set_has_free(uint32_t page, bool has_free) {
  const uint64_t bit = 1ULL << (page % 64);
  uint64_t& word = has_free_bits_[page / 64];
  word = has_free ? word | bit : word & ~bit;
  if (has_free) lowest_free_page_ = std::min(lowest_free_page_, page);
}

void RecordAllocator::grow_to(uint32_t page) {
  if (page < pages_.size()) return;
  const size_t pages = std::max<size_t>(page + 1, pages_.size() + pages_.size() / 2);
  pages_.resize(pages);
  used_bits_.resize(pages * words_per_page_);
  has_free_bits_.resize((pages + 63) / 64);
}

uint64_t& RecordAllocator::used_word(uint32_t page, uint32_t record) {
  return used_bits_[size_t(page) * words_per_page_ + record / 64];
}

}  // namespace ztmpfs
