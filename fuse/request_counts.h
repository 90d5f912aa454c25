#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "fuse/request_slot.h"

namespace ztmpfs {

/// Requests answered per opcode, by its name in linux/fuse.h ("LOOKUP"), summed over all readers and all servers of the
/// mount. INIT, DESTROY and what has no answer (FORGET, INTERRUPT) are not among them. Opcodes never seen are left out.
std::map<std::string, uint64_t> request_counts(std::span<const RequestSlot> slots);

/// FORGET and BATCH_FORGET requests executed.
uint64_t forget_count(std::span<const RequestSlot> slots);

/// The index below kOpcodeCount that a request counts under: its opcode, 0 for unknown ones. None for what is not
/// counted: INIT, DESTROY, INTERRUPT.
std::optional<uint32_t> counted_opcode(uint32_t opcode);

/// What the index is called: "LOOKUP"; "UNKNOWN" for 0.
std::string counted_name(uint32_t index);

/// Takes note of a request of this slot, once; the slot's own thread only.
void count_request(const RequestSlot& slot, uint32_t opcode);

}  // namespace ztmpfs
