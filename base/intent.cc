#include "base/intent.h"

#include <algorithm>

#include "base/bytes.h"

#include "base/durable_store.h"

namespace ztmpfs {

void IntentRecord::apply(std::byte* meta_base) const {
  const Store* const end = stores.data() + count;
  for (const Store* store = stores.data(); store != end; ++store) {
    // Atomic: lock-free readers of a single word must never see half of it. Release: who finds a record published by
    // one of them finds it complete, under whatever lock.
    if (const uint64_t target = store->target; (target & 1) == 0) {
      durable_store(*reinterpret_cast<uint32_t*>(meta_base + target), static_cast<uint32_t>(store->value));
    } else {
      durable_store(*reinterpret_cast<uint64_t*>(meta_base + target - 1), store->value);
    }
  }
}

// Not for strength: any damaged bit changes it (the factors are odd), and nearly all other damage. No product waits for
// another one.
uint64_t IntentRecord::checksum() const {
  uint64_t sum = (count + 1) * 0x9e3779b97f4a7c15ULL;
  for (size_t i = 0; i < count; ++i)
    sum += stores[i].target * 0xa0761d6478bd642fULL + stores[i].value * 0xe7037ed1a0b428dbULL;
  return sum;
}

bool IntentRecord::is_intact(uint64_t meta_length) const {
  if (count > kStoresMax || check != checksum()) return false;
  return std::all_of(stores.begin(), stores.begin() + count, [&](const Store& store) {
    const uint64_t offset = store.offset();
    return offset % store.width() == 0 && offset >= kPageSize && offset < meta_length;
  });
}

void Transaction::fail_full() { ZTMPFS_CHECK(false, "an intent has too many stores"); }

void Transaction::begin_commit() {
  intent_.count = uint32_t(next_ - intent_.stores.data());
  intent_.check = intent_.checksum();
  // A release store keeps earlier stores before it; the fences keep the compiler from moving later ones up across it.
  // That is all a kill needs: it ends the process between two instructions.
  durable_store(intent_.state, IntentRecord::kCommitted);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  intent_.apply(meta_base_);
}

void Transaction::end_commit() {
  durable_store(intent_.state, IntentRecord::kApplied);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace ztmpfs
