#pragma once

#include <atomic>
#include <cstdint>

#include "base/bytes.h"
#include "base/durable_store.h"
#include "pool/pool.h"

namespace ztmpfs {

/// How a block is kept. Open: kRaw, written in place, no checksum. Sealed: the three behind it.
enum class BlockForm : uint8_t {
  kHole = 0,        ///< reads as zeros; has a slot only where it is reserved
  kRaw = 1,         ///< object: the bytes themselves, as large as is convenient
  kSameFilled = 2,  ///< no object: one word fills the block
  kCompressed = 3,  ///< object: what the codec in its tag made, with a checksum
  kHuge = 4,        ///< object: the bytes themselves, they did not compress; with a checksum
};

/// Form, length, reservation and object of a block in the one word whose store publishes them together.
///
/// Bits 63-59: a check, which any damaged bit of the others changes; 58-56: the form; 55-50: reserved pages; 49-32: the
/// length; 31-0: the object, of a same-filled block fill_check() of what fills it.
class BlockWord {
 public:
  BlockWord() = default;
  /// From a slot; whether its check is right is asked at attach only.
  explicit BlockWord(uint64_t bits) : bits_(bits & kDataMask) {}
  BlockWord(BlockForm form, uint32_t length, Handle handle)
      : bits_(uint64_t(form) << 56 | uint64_t(length) << kLengthShift | handle) {}

  /// For a slot.
  uint64_t bits() const { return bits_ | check(bits_) << kCheckShift; }
  /// Whether the bits are those that bits() made.
  static bool is_intact(uint64_t bits) { return BlockWord(bits).bits() == bits; }
  static uint32_t fill_check(uint64_t fill) { return uint32_t((fill + 1) * 0x9e3779b97f4a7c15ULL >> 32); }
  BlockForm form() const { return BlockForm(bits_ >> 56); }
  /// Bytes of the block that have contents; the rest of it reads as zeros. At most the block size.
  uint32_t length() const { return uint32_t(bits_ >> kLengthShift & kLengthMask); }
  /// The first so many bytes of the block, whole pages, can always be written: fallocate(2) promised them.
  uint32_t reserved() const { return uint32_t(bits_ >> kReservedShift & kReservedMask) * uint32_t(kPageSize); }
  /// No contents and nothing promised: a block that needs no slot.
  bool is_nothing() const { return form() == BlockForm::kHole && reserved() == 0; }
  Handle handle() const { return Handle(bits_); }
  bool has_object() const { return form() == BlockForm::kRaw || is_sealed_object(); }
  bool is_sealed_object() const { return form() == BlockForm::kCompressed || form() == BlockForm::kHuge; }
  BlockWord with_length(uint32_t length) const {
    return BlockWord((bits_ & ~(kLengthMask << kLengthShift)) | uint64_t(length) << kLengthShift);
  }
  /// `bytes` rounded up to pages, of which there are 32 at most.
  BlockWord with_reserved(uint32_t bytes) const {
    const uint64_t pages = (bytes + kPageSize - 1) / kPageSize;
    return BlockWord((bits_ & ~(kReservedMask << kReservedShift)) | pages << kReservedShift);
  }

  friend bool operator==(const BlockWord&, const BlockWord&) = default;

 private:
  // Each bit of `bits` is in one of the five.
  static uint64_t check(uint64_t bits) {
    bits ^= bits >> 30;
    bits ^= (bits & 0x3fffffff) >> 15;
    bits &= 0x7fff;
    return (bits ^ bits >> 5 ^ bits >> 10) & 0x1f;
  }

  static constexpr int kCheckShift = 59;
  static constexpr uint64_t kDataMask = (1ULL << kCheckShift) - 1;
  static constexpr int kLengthShift = 32;
  static constexpr uint64_t kLengthMask = 0x3ffff;
  static constexpr int kReservedShift = 50;
  static constexpr uint64_t kReservedMask = 0x3f;
  static_assert(kObjectSizeMax <= kLengthMask && kObjectSizeMax / kPageSize <= kReservedMask);

  uint64_t bits_ = 0;
};

/// One block of a file. Durable (region kBlocks); covered by the stripe lock of its owner.
struct BlockSlot {
  /// 0: free. Else the owner, and above it a check of owner and index. Stored last when a slot comes to life, cleared
  /// first when it dies.
  std::atomic<uint64_t> owner_word;
  uint64_t index;              ///< which block of the owner
  std::atomic<uint64_t> word;  ///< a BlockWord
  uint64_t auxiliary;          ///< kSameFilled: the word that fills it (durable). Other forms: a BlockAge (derived)

  uint32_t owner() const { return uint32_t(owner_word.load(std::memory_order_relaxed)); }
  /// Publishes the slot as one of the owner, as which it may be published already.
  void set_owner(uint32_t owner) { durable_store(owner_word, make_owner_word(owner, index)); }
  /// Of a slot that is not free: whether owner and index are those that were published.
  bool has_intact_owner() const {
    return owner() != 0 && owner_word.load(std::memory_order_relaxed) == make_owner_word(owner(), index);
  }

 private:
  static uint64_t make_owner_word(uint32_t owner, uint64_t index) {
    const uint64_t sum = index * 0xa0761d6478bd642fULL + owner * 0xe7037ed1a0b428dbULL;
    return (sum & ~0xffff'ffffULL) | owner;
  }
};

/// What the store remembers of a block that is to be sealed or compressed again. In the slot only because it costs no
/// memory there.
struct BlockAge {
  uint32_t generation;  ///< of the last write or sealing, unique in the store: tells that nothing came in between
  uint32_t ticket : 8;  ///< of the block's entry in its queue; other entries for the same block are stale
  uint32_t tick : 24;   ///< time of the last write, in the queue's ticks
};

}  // namespace ztmpfs
