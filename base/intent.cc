#include "base/intent.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"

#include "base/durable_store.h"

namespace ztmpfs {

void IntentRecord::apply(std::byte* meta_base) const {
  for (size_t i = 0; i < count; ++i) {
    const Store& store = stores[i];
    // Atomic: lock-free readers of a single word must never see half of it. Release: who finds a record published by
    // one of them finds it complete, under whatever lock.
    if (store.width == 4) {
      durable_store(*reinterpret_cast<uint32_t*>(meta_base + store.offset), static_cast<uint32_t>(store.value));
    } else {
      durable_store(*reinterpret_cast<uint64_t*>(meta_base + store.offset), store.value);
    }
  }
}

// Not for strength: any damaged bit changes it, and nearly all other damage. The factors are those of wyhash.
uint64_t IntentRecord::checksum() const {
  uint64_t sum = count + 1;
  for (size_t i = 0; i < count; ++i) {
    const Store& store = stores[i];
    sum = (std::rotl(sum, 29) ^ store.offset ^ uint64_t(store.width) << 56) * 0xa0761d6478bd642fULL;
    sum = (std::rotl(sum, 29) ^ store.value) * 0xe7037ed1a0b428dbULL;
  }
  return sum;
}

bool IntentRecord::is_intact(uint64_t meta_length) const {
  if (count > kStoresMax || check != checksum()) return false;
  return std::all_of(stores.begin(), stores.begin() + count, [&](const Store& store) {
    const bool is_aligned = (store.width == 4 || store.width == 8) && store.offset % store.width == 0;
    return is_aligned && store.offset >= kPageSize && store.offset < meta_length;
  });
}

void Transaction::add(std::byte* field, uint32_t width, uint64_t value) {
  ZTMPFS_CHECK(intent_.count < IntentRecord::kStoresMax, "an intent has too many stores");
  intent_.stores[intent_.count++] = {width, 0, static_cast<uint64_t>(field - meta_base_), value};
}

void Transaction::commit() {
  intent_.check = intent_.checksum();
  // A release store keeps earlier stores before it; the fences keep the compiler from moving later ones up across it.
  // That is all a kill needs: it ends the process between two instructions.
  durable_store(intent_.state, IntentRecord::kCommitted);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  intent_.apply(meta_base_);
  durable_store(intent_.state, IntentRecord::kApplied);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace ztmpfs
