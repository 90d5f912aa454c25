#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/image.h"
#include "base/memory_budget.h"
#include "base/mutex.h"

namespace ztmpfs {

/// Which record numbers of a table are taken, and which of its pages are resident. Derived: rebuilt at attach.
/// Leaf lock inside; safe from any thread. Knows no record type; DurableTable gives it one.
class RecordAllocator {
 public:
  /// Called with the number of the first record of a page just before the page is given back, under the lock.
  using BeforePunch = std::function<void(uint32_t first_record)>;

  RecordAllocator(Region region, uint32_t records_per_page, MemoryBudget& budget);

  void set_before_punch(BeforePunch before_punch) { before_punch_ = std::move(before_punch); }
  /// A free record on the lowest page that has one, so that high pages drain. Number 0 is never given out.
  /// 0 if the memory cap is reached or the table is full.
  uint32_t allocate(Admission admission = Admission::kCapped);
  /// The record is free again (its durable part already says so). Empty pages go back to the OS, but for a few.
  void release(uint32_t id);
  /// Attach only: takes note of a resident page, and of its records in use: one bit each, from the lowest of the first
  /// word on, padded to whole words.
  void adopt_page(uint32_t page, const uint64_t* used);
  /// Attach only, after the last adopt_page(): gives back pages without a record in use.
  void finish_attach();
  /// Calls visit(id) for each record on a resident page. Nobody allocates or releases meanwhile.
  void for_each_resident(const std::function<void(uint32_t)>& visit);
  /// Copies the bits of a page's records in use, as for adopt_page(). False if the page holds none.
  bool copy_used(uint32_t page, uint64_t* used) const;
  /// One more than the highest page that was ever resident.
  uint32_t pages() const;
  uint32_t pages_max() const { return pages_max_; }

  /// False for any number that is free, out of range or 0; never touches the record itself.
  bool is_used(uint32_t id) const;
  uint64_t records_used() const;
  Bytes resident() const;

 private:
  struct Page {
    uint16_t used = 0;
    bool resident = false;
  };

  uint32_t find_page() REQUIRES(mutex_);
  uint32_t commit_page(Admission admission) REQUIRES(mutex_);
  void punch_page(uint32_t page) REQUIRES(mutex_);
  void shrink() REQUIRES(mutex_);
  void take(uint32_t page, uint32_t record) REQUIRES(mutex_);
  void set_has_free(uint32_t page, bool has_free) REQUIRES(mutex_);
  void grow_to(uint32_t page) REQUIRES(mutex_);
  uint64_t& used_word(uint32_t page, uint32_t record) REQUIRES(mutex_);

  const Region region_;
  const uint32_t records_per_page_;
  const uint32_t pages_max_;
  const uint32_t words_per_page_;
  MemoryBudget& budget_;
  BeforePunch before_punch_;

  mutable Mutex mutex_;
  std::vector<Page> pages_ GUARDED_BY(mutex_);
  std::vector<uint64_t> used_bits_ GUARDED_BY(mutex_);      // records_per_page_ bits per page, padded to whole words
  std::vector<uint64_t> has_free_bits_ GUARDED_BY(mutex_);  // one bit per page: resident, with a free record
  uint32_t lowest_free_page_ GUARDED_BY(mutex_) = 0;        // no page below it has its bit set in has_free_bits_
  uint32_t lowest_hole_page_ GUARDED_BY(mutex_) = 0;        // every page below it is resident
  uint64_t records_used_ GUARDED_BY(mutex_) = 0;
  uint64_t pages_resident_ GUARDED_BY(mutex_) = 0;
  uint32_t pages_empty_ GUARDED_BY(mutex_) = 0;  // resident without a record in use
};

/// Flat records in the image, addressed by number; number 0 means "none". What a record says is durable,
/// which numbers are free is derived from it.
template <class T>
class DurableTable {
 public:
  static_assert(std::is_trivially_destructible_v<T> && sizeof(T) <= kPageSize && sizeof(T) % 8 == 0);
  static constexpr uint32_t kRecordsPerPage = uint32_t(kPageSize / sizeof(T));

  DurableTable(Region region, MemoryBudget& budget) : region_(region), allocator_(region, kRecordsPerPage, budget) {}

  /// The caller knows that the record is allocated; what lock covers its fields is the owner's affair.
  T& operator[](uint32_t id) const {
    return *reinterpret_cast<T*>(region_.base() + Bytes(id / kRecordsPerPage) * kPageSize +
                                 (id % kRecordsPerPage) * sizeof(T));
  }
  RecordAllocator& allocator() { return allocator_; }
  const RecordAllocator& allocator() const { return allocator_; }

  /// True if the record is allocated. For numbers that come from outside: reading a record that is not would make
  /// a page resident.
  bool contains(uint32_t id) const { return allocator_.is_used(id); }

  /// Rebuilds the allocator: is_used(id, record) tells which records are in use, and may throw.
  template <class Predicate>
  void attach(Predicate&& is_used) {
    region_.for_each_resident([&](Bytes offset, Bytes length) {
      if ((offset + length) / kPageSize > allocator_.pages_max())
        throw std::runtime_error("the image is damaged: a table has more pages than it has numbers for");
      region_.prefault(offset, length);
      for (auto page = uint32_t(offset / kPageSize); page < (offset + length) / kPageSize; ++page) {
        UsedBits used{};
        for (uint32_t record = page == 0 ? 1 : 0; record < kRecordsPerPage; ++record) {
          const uint32_t id = page * kRecordsPerPage + record;
          if (is_used(id, (*this)[id])) used[record / 64] |= 1ULL << (record % 64);
        }
        allocator_.adopt_page(page, used.data());
      }
    });
    allocator_.finish_attach();
  }
  /// Calls visit(id) for each record in use, in ascending order. Nobody allocates meanwhile.
  template <class Visitor>
  void for_each_used(Visitor&& visit) const {
    UsedBits used{};
    for (uint32_t page = 0; page < allocator_.pages(); ++page) {
      if (!allocator_.copy_used(page, used.data())) continue;
      for (uint32_t record = page == 0 ? 1 : 0; record < kRecordsPerPage; ++record)
        if ((used[record / 64] >> (record % 64) & 1) != 0) visit(page * kRecordsPerPage + record);
    }
  }

 private:
  using UsedBits = std::array<uint64_t, (kRecordsPerPage + 63) / 64>;

  Region region_;
  RecordAllocator allocator_;
};

}  // namespace ztmpfs
