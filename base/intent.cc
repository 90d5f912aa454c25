#include "base/intent.h"

#include <cstring>

namespace ztmpfs {

void IntentRecord::apply(std::byte* meta_base) const {
  for (size_t i = 0; i < count; ++i) {
    const Store& store = stores[i];
    // Atomic: lock-free readers of a single word must never see half of it. Release: who finds a record published by
    // one of them finds it complete, under whatever lock.
    if (store.width == 4) {
      std::atomic_ref(*reinterpret_cast<uint32_t*>(meta_base + store.offset))
          .store(static_cast<uint32_t>(store.value), std::memory_order_release);
    } else {
      std::atomic_ref(*reinterpret_cast<uint64_t*>(meta_base + store.offset))
          .store(store.value, std::memory_order_release);
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
  intent_.state.store(IntentRecord::kCommitted, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  intent_.apply(meta_base_);
  intent_.state.store(IntentRecord::kApplied, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace ztmpfs
