#pragma once

#include <atomic>
#include <cstdint>

#include "base/bytes.h"
#include "pool/pool.h"

namespace ztmpfs {

/// How a block is kept. Open: kRaw, written in place, no checksum. Sealed: the three behind it.
enum class BlockForm : uint8_t {
  kHole = 0,        ///< no slot, reads as zeros
  kRaw = 1,         ///< object: the bytes themselves, as large as is convenient
  kSameFilled = 2,  ///< no object: one word fills the block
  kCompressed = 3,  ///< object: what the codec in its tag made, with a checksum
  kHuge = 4,        ///< object: the bytes themselves, they did not compress; with a checksum
};

/// Form, length and object of a block in the one word whose store publishes them together.
class BlockWord {
 public:
  BlockWord() = default;
  explicit BlockWord(uint64_t bits) : bits_(bits) {}
  BlockWord(BlockForm form, uint32_t length, Handle handle)
      : bits_(uint64_t(form) << 56 | uint64_t(length) << 32 | handle) {}

  uint64_t bits() const { return bits_; }
  BlockForm form() const { return BlockForm(bits_ >> 56); }
  /// Bytes of the block that have contents; the rest of it reads as zeros. At most the block size.
  uint32_t length() const { return uint32_t(bits_ >> 32 & 0xffffff); }
  Handle handle() const { return Handle(bits_); }
  bool has_object() const { return form() == BlockForm::kRaw || is_sealed_object(); }
  bool is_sealed_object() const { return form() == BlockForm::kCompressed || form() == BlockForm::kHuge; }
  BlockWord with_length(uint32_t length) const { return {form(), length, handle()}; }

  friend bool operator==(const BlockWord&, const BlockWord&) = default;

 private:
  uint64_t bits_ = 0;
};

/// One block of a file. Durable (region kBlocks); covered by the stripe lock of its owner.
struct BlockSlot {
  std::atomic<uint64_t> owner;  ///< 0: free. Stored last when a slot comes to life, cleared first when it dies
  uint64_t index;               ///< which block of the owner
  std::atomic<uint64_t> word;   ///< a BlockWord
  uint64_t auxiliary;           ///< kSameFilled: the word that fills it (durable). Other forms: a BlockAge (derived)
};

/// What the store remembers of a block that is to be sealed or compressed again. In the slot only because it costs no
/// memory there.
struct BlockAge {
  uint32_t generation;  ///< of the last write or sealing, unique in the store: tells that nothing came in between
  uint32_t ticket : 8;  ///< of the block's entry in its queue; other entries for the same block are stale
  uint32_t tick : 24;   ///< time of the last write, in the queue's ticks
};

}  // namespace ztmpfs
