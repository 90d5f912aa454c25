#pragma once

#include <cstdint>

#include "pool/size_class.h"

namespace ztmpfs {

/// Where an object lies, as one word that is published and cleared by one store. The lengths of its pieces follow
/// from its size: with both pieces it has packed_layout(size), else contiguous_layout(size) or a slot alone.
///
/// Durable. Bits 63-36: first page of the run + 1; bits 35-8: first page of the slot's span + 1 (0: there is no such
/// piece); bits 7-0: the slot's number, or, of a run alone, run_check(): a run that is written in place has no other
/// checksum. The word 0 is no object.
struct Location {
  static constexpr uint32_t kPageBits = 28;
  /// An arena has at most this many pages: 1 TiB.
  static constexpr uint32_t kPagesMax = (1U << kPageBits) - 1;
  static constexpr uint32_t kNoPage = ~0U;

  uint32_t run_page = kNoPage;
  uint32_t span_page = kNoPage;
  uint32_t slot = 0;

  bool has_run() const { return run_page != kNoPage; }
  bool has_slot() const { return span_page != kNoPage; }
  uint64_t encode() const {
    const uint32_t low = has_slot() ? slot : run_check();
    return uint64_t(run_page + 1) << (kPageBits + 8) | uint64_t(span_page + 1) << 8 | low;
  }
  static Location decode(uint64_t word) {
    return {uint32_t(word >> (kPageBits + 8)) - 1, (uint32_t(word >> 8) & kPagesMax) - 1, uint32_t(word & 0xff)};
  }
  /// Eight bits, which any damaged bit of the run's page changes.
  uint32_t run_check() const {
    const uint32_t page = run_page + 1;
    return (page ^ page >> 8 ^ page >> 16 ^ page >> 24) & 0xff;
  }
  /// The pieces of an object of `size` bytes that lies here.
  Layout layout(uint32_t size) const {
    if (!has_run()) return {0, size};
    return has_slot() ? packed_layout(size) : Layout{uint32_t((size + kPageSize - 1) / kPageSize), 0};
  }
};

}  // namespace ztmpfs
