#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace ztmpfs {

/// The 8-byte word that fills the whole block, as zram's page_same_filled() finds it (drivers/block/zram/zram_drv.c).
/// A tail shorter than a word must match the word's first bytes; blocks shorter than a word have none.
std::optional<uint64_t> same_filled(std::span<const std::byte> block);

/// Fills `target` with the word, starting `offset` bytes into the pattern.
void fill(std::span<std::byte> target, uint64_t word, size_t offset);

}  // namespace ztmpfs
