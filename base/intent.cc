#include "base/intent.h"

#include <cstring>

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

void Transaction::add(std::byte* field, uint32_t width, uint64_t value) {
  ZTMPFS_CHECK(intent_.count < IntentRecord::kStoresMax, "an intent has too many stores");
  intent_.stores[intent_.count++] = {width, 0, static_cast<uint64_t>(field - meta_base_), value};
}

void Transaction::commit() {
  // A release store keeps earlier stores before it; the fences keep the compiler from moving later ones up across it.
  // That is all a kill needs: it ends the process between two instructions.
  durable_store(intent_.state, IntentRecord::kCommitted);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  intent_.apply(meta_base_);
  durable_store(intent_.state, IntentRecord::kApplied);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace ztmpfs
