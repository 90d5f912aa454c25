#include "pool/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "base/check.h"

namespace ztmpfs {

namespace {

constexpr uint32_t kNoPage = ~0U;
// A stock that is too large is cut by this share at once, so that neighbours go to the OS in one call.
constexpr uint32_t kTrimShare = 16;

}  // namespace

Arena::Arena(Region region, MemoryBudget& budget) : region_(region), budget_(budget) {
  if (region.length() % (PageBits::kPages * kPageSize) != 0 || region.length() / kPageSize >= kNoPage)
    throw std::invalid_argument("the arena is not a multiple of 1 MiB, or too large");
}

void Arena::set_stock_max(Bytes stock_max) {
  MutexLock lock(mutex_);
  stock_max_ = stock_max;
}

Result<uint32_t> Arena::allocate(uint32_t pages, Admission admission) {
  ZTMPFS_CHECK(pages >= 1 && pages <= kRunPagesMax, "no run has this length");
  uint32_t first = take_stock(pages);
  if (first != kNoPage) return first;
  while ((first = take_fresh(pages, admission)) == kNoPage)
    if (release_stock(Bytes(pages) * kPageSize) == 0) return fail(std::errc::no_space_on_device);
  if (region_.populate(Bytes(first) * kPageSize, Bytes(pages) * kPageSize)) return first;
  discard(first, pages);
  return fail(std::errc::no_space_on_device);
}

void Arena::release(uint32_t first_page, uint32_t pages) {
  Bytes surplus = 0;
  {
    MutexLock lock(mutex_);
    Chunk& chunk = chunk_of(first_page);
    const uint32_t first = first_page % PageBits::kPages;
    ZTMPFS_CHECK(chunk.used.count(first, pages) == pages, "pages were released twice");
    chunk.used.clear(first, pages);
    pages_used_ -= pages;
    pages_stocked_ += pages;
    note_change(first_page / PageBits::kPages);
    const Bytes stock = pages_stocked_ * kPageSize;
    if (stock > stock_max_) surplus = stock - (stock_max_ - stock_max_ / kTrimShare);
  }
  if (surplus > 0) release_stock(surplus);
}

Bytes Arena::release_stock(Bytes bytes) {
  Bytes released = 0;
  while (released < bytes) {
    const Run run = isolate_stock(uint32_t(std::min<Bytes>((bytes - released - 1) / kPageSize + 1, ~0U)));
    if (run.pages == 0) break;
    discard(run.first_page, run.pages);
    released += Bytes(run.pages) * kPageSize;
  }
  return released;
}

bool Arena::is_resident(uint32_t first_page, uint32_t pages) const {
  ZTMPFS_CHECK(pages >= 1 && pages <= kRunPagesMax, "no run has this length");
  std::array<unsigned char, kRunPagesMax> in_core{};
  const auto run = bytes(first_page, pages);
  if (::mincore(run.data(), run.size(), in_core.data()) != 0) return false;
  return std::all_of(in_core.begin(), in_core.begin() + pages, [](unsigned char page) { return (page & 1) != 0; });
}

bool Arena::adopt(uint32_t first_page, uint32_t pages) {
  MutexLock lock(mutex_);
  const uint32_t first = first_page % PageBits::kPages;
  if (first_page >= this->pages() || first + pages > PageBits::kPages) return false;
  grow_to(first_page / PageBits::kPages);
  Chunk& chunk = chunk_of(first_page);
  if (chunk.used.count(first, pages) != 0) return false;
  chunk.used.set(first, pages);
  pages_used_ += pages;
  note_change(first_page / PageBits::kPages);
  return true;
}

void Arena::finish_attach() {
  region_.for_each_resident([this](Bytes offset, Bytes length) { finish_attach_run(offset, length); });
  MutexLock lock(mutex_);
  uint64_t resident = 0;
  for (size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    const PageBits missing = chunks_[chunk].used & ~chunks_[chunk].resident;
    if (const uint32_t page = missing.next_set(0); page != PageBits::kPages)
      throw std::runtime_error("the image is damaged: an object lies on page " +
                               std::to_string(chunk * PageBits::kPages + page) + " of the arena, which is not there");
    resident += chunks_[chunk].resident.count();
  }
  budget_.charge(resident * kPageSize);
}

Bytes Arena::used() const {
  MutexLock lock(mutex_);
  return pages_used_ * kPageSize;
}

Bytes Arena::stock() const {
  MutexLock lock(mutex_);
  return pages_stocked_ * kPageSize;
}

// The lowest run of the stock, now used.
uint32_t Arena::take_stock(uint32_t pages) {
  MutexLock lock(mutex_);
  if (pages_stocked_ < pages) return kNoPage;
  const uint32_t index = stock_runs_.find(pages);
  if (index == RunIndex::kNoChunk) return kNoPage;
  Chunk& chunk = chunks_[index];
  const uint32_t first = chunk.stock().find_run(pages);
  chunk.used.set(first, pages);
  pages_used_ += pages;
  pages_stocked_ -= pages;
  note_change(index);
  return index * PageBits::kPages + first;
}

// The lowest free run, charged and used, though not all of it may be resident yet; kNoPage at the cap or without
// address space.
uint32_t Arena::take_fresh(uint32_t pages, Admission admission) {
  MutexLock lock(mutex_);
  uint32_t index = free_runs_.find(pages);
  if (index == RunIndex::kNoChunk) {
    index = uint32_t(chunks_.size());
    if (index >= this->pages() / PageBits::kPages) return kNoPage;
    grow_to(index);
  }
  Chunk& chunk = chunks_[index];
  const uint32_t first = (~chunk.used).find_run(pages);
  const uint32_t from_stock = chunk.resident.count(first, pages);
  if (!budget_.try_charge_contents(Bytes(pages - from_stock) * kPageSize, admission)) return kNoPage;
  chunk.used.set(first, pages);
  chunk.resident.set(first, pages);
  pages_used_ += pages;
  pages_stocked_ -= from_stock;
  note_change(index);
  return index * PageBits::kPages + first;
}

// While they are punched they count as used.
void Arena::discard(uint32_t first_page, uint32_t pages) {
  region_.punch(Bytes(first_page) * kPageSize, Bytes(pages) * kPageSize);
  budget_.uncharge(Bytes(pages) * kPageSize);
  MutexLock lock(mutex_);
  Chunk& chunk = chunk_of(first_page);
  chunk.used.clear(first_page % PageBits::kPages, pages);
  chunk.resident.clear(first_page % PageBits::kPages, pages);
  pages_used_ -= pages;
  note_change(first_page / PageBits::kPages);
}

// Takes up to `pages_max` pages out of the highest run of the stock and counts them as used.
Arena::Run Arena::isolate_stock(uint32_t pages_max) {
  MutexLock lock(mutex_);
  const uint32_t index = stock_runs_.find_last();
  if (index == RunIndex::kNoChunk) return {};
  Chunk& chunk = chunks_[index];
  const PageBits stock = chunk.stock();
  const uint32_t end = stock.end_of_last_run();
  const uint32_t pages = std::min(pages_max, end - (~stock).end_of_last_run(end));
  chunk.used.set(end - pages, pages);
  pages_used_ += pages;
  pages_stocked_ -= pages;
  note_change(index);
  return {index * PageBits::kPages + end - pages, pages};
}

// Marks the pages of [offset, offset + length) that are taken as resident, and punches the others.
void Arena::finish_attach_run(Bytes offset, Bytes length) {
  MutexLock lock(mutex_);
  const auto last = uint32_t((offset + length) / kPageSize);
  for (auto page = uint32_t(offset / kPageSize); page < last;) {
    const uint32_t index = page / PageBits::kPages;
    const uint32_t from = page % PageBits::kPages;
    const uint32_t limit = std::min(PageBits::kPages, from + (last - page));
    uint32_t to = limit;
    const bool is_used = index < chunks_.size() && chunks_[index].used.count(from, 1) != 0;
    if (index < chunks_.size())
      to = std::min(limit, is_used ? chunks_[index].used.next_clear(from) : chunks_[index].used.next_set(from));
    if (is_used)
      chunks_[index].resident.set(from, to - from);
    else
      region_.punch(Bytes(page) * kPageSize, Bytes(to - from) * kPageSize);
    page += to - from;
  }
}

void Arena::grow_to(uint32_t chunk) {
  while (chunks_.size() <= chunk) {
    chunks_.emplace_back();
    note_change(uint32_t(chunks_.size()) - 1);
  }
}

void Arena::note_change(uint32_t chunk) {
  free_runs_.set(chunk, (~chunks_[chunk].used).longest_run());
  stock_runs_.set(chunk, chunks_[chunk].stock().longest_run());
}

void Arena::audit(std::vector<std::string>& breaches) const {
  MutexLock lock(mutex_);
  uint64_t used = 0;
  uint64_t stocked = 0;
  for (uint32_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    audit_chunk(chunk, breaches);
    used += chunks_[chunk].used.count();
    stocked += chunks_[chunk].stock().count();
  }
  if (used != pages_used_) breaches.push_back("arena: the count of used pages is wrong");
  if (stocked != pages_stocked_) breaches.push_back("arena: the count of stocked pages is wrong");
  uint64_t resident = 0;
  region_.for_each_resident([&](Bytes offset, Bytes length) NO_THREAD_SAFETY_ANALYSIS {
    resident += length / kPageSize;
    for (Bytes at = offset / kPageSize; at < (offset + length) / kPageSize; ++at) {
      const bool known = at / PageBits::kPages < chunks_.size() &&
                         chunks_[at / PageBits::kPages].resident.count(uint32_t(at % PageBits::kPages), 1) != 0;
      if (!known) breaches.push_back("arena: page " + std::to_string(at) + " is resident but unknown");
    }
  });
  if (resident != used + stocked) breaches.push_back("arena: the file does not hold as many pages as it should");
}

void Arena::audit_chunk(uint32_t chunk, std::vector<std::string>& breaches) const {
  const Chunk& bits = chunks_[chunk];
  const std::string name = "arena: chunk " + std::to_string(chunk);
  if ((bits.used & bits.resident) != bits.used) breaches.push_back(name + " has used pages that are not resident");
  if (free_runs_.longest(chunk) != std::min((~bits.used).longest_run(), kRunPagesMax))
    breaches.push_back(name + " has a wrong longest free run");
  if (stock_runs_.longest(chunk) != std::min(bits.stock().longest_run(), kRunPagesMax))
    breaches.push_back(name + " has a wrong longest run of stock");
}

}  // namespace ztmpfs
