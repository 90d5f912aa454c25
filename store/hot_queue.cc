#include "store/hot_queue.h"

namespace ztmpfs {

uint8_t HotQueue::push(Entry entry) {
  entry.ticket = next_ticket_.fetch_add(1, std::memory_order_relaxed);
  append(entry);
  return entry.ticket;
}

void HotQueue::push_again(Entry entry, uint32_t tick) {
  entry.tick = tick & kTickMask;
  append(entry);
}

void HotQueue::append(Entry entry) {
  bool is_first = false;
  {
    MutexLock lock(mutex_);
    is_first = entries_.empty();
    entries_.push_back(entry);
  }
  if (is_first && on_first_) on_first_();
}

std::optional<HotQueue::Entry> HotQueue::pop(uint32_t age_min) {
  const uint32_t now_tick = now();
  MutexLock lock(mutex_);
  if (entries_.empty() || age(now_tick, entries_.front().tick) < age_min) return std::nullopt;
  const Entry entry = entries_.front();
  entries_.pop_front();
  return entry;
}

std::optional<std::chrono::milliseconds> HotQueue::until_age(uint32_t age_min) const {
  const uint32_t now_tick = now();
  MutexLock lock(mutex_);
  if (entries_.empty()) return std::nullopt;
  const uint32_t reached = age(now_tick, entries_.front().tick);
  return reached >= age_min ? std::chrono::milliseconds(0) : kTick * (age_min - reached);
}

size_t HotQueue::size() const {
  MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace ztmpfs
