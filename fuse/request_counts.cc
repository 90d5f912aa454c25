#include "fuse/request_counts.h"

#include "base/durable_store.h"

namespace ztmpfs {

namespace {

// One writer per counter, so no locked instruction is needed.
void increment(std::atomic<uint64_t>& counter) { durable_store(counter, counter.load(std::memory_order_relaxed) + 1); }

}  // namespace

std::map<std::string, uint64_t> request_counts(std::span<const RequestSlot> slots) {
  std::map<std::string, uint64_t> counts;
  for (uint32_t opcode = 0; opcode < kOpcodeCount; ++opcode) {
    uint64_t answered = 0;
    for (const RequestSlot& slot : slots) answered += slot.reader().answered[opcode].load(std::memory_order_relaxed);
    const OpcodeInfo* info = opcode_info(opcode);
    if (answered != 0) counts.emplace(info != nullptr ? info->name : "UNKNOWN", answered);
  }
  return counts;
}

uint64_t forget_count(std::span<const RequestSlot> slots) {
  uint64_t forgets = 0;
  for (const RequestSlot& slot : slots) forgets += slot.reader().forgets.load(std::memory_order_relaxed);
  return forgets;
}

void count_request(const RequestSlot& slot, uint32_t opcode) {
  if (opcode == FUSE_INIT || opcode == FUSE_DESTROY || opcode == FUSE_INTERRUPT) return;
  const OpcodeInfo* info = opcode_info(opcode);
  if (opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET) {
    increment(slot.reader().forgets);
  } else if (info == nullptr || info->answered) {
    increment(slot.reader().answered[info != nullptr ? opcode : 0]);
  }
}

}  // namespace ztmpfs
