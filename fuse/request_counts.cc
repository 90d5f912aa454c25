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
    if (answered != 0) counts.emplace(counted_name(opcode), answered);
  }
  return counts;
}

uint64_t forget_count(std::span<const RequestSlot> slots) {
  uint64_t forgets = 0;
  for (const RequestSlot& slot : slots) forgets += slot.reader().forgets.load(std::memory_order_relaxed);
  return forgets;
}

std::optional<uint32_t> counted_opcode(uint32_t opcode) {
  if (opcode == FUSE_INIT || opcode == FUSE_DESTROY || opcode == FUSE_INTERRUPT) return {};
  const OpcodeInfo* info = opcode_info(opcode);
  if (info == nullptr) return 0;
  const bool is_forget = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
  return info->answered || is_forget ? std::optional(opcode) : std::nullopt;
}

std::string counted_name(uint32_t index) {
  const OpcodeInfo* info = opcode_info(index);
  return std::string(info != nullptr ? info->name : "UNKNOWN");
}

void count_request(const RequestSlot& slot, uint32_t opcode) {
  const auto index = counted_opcode(opcode);
  if (!index) return;
  const bool is_forget = opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
  increment(is_forget ? slot.reader().forgets : slot.reader().answered[*index]);
}

}  // namespace ztmpfs
