#pragma once

#include <linux/fuse.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "base/durable_store.h"
#include "base/image.h"
#include "fs/operation.h"
#include "fuse/negotiation.h"
#include "fuse/opcodes.h"

namespace ztmpfs {

/// What outlives the server besides the request in a reader's buffer. Durable: the last page of each buffer.
struct ReaderRecord {
  static constexpr size_t kInitMax = 256;

  /// Bytes of `init` that count, stored after them; 0: the connection has not begun. Slot 0 only.
  std::atomic<uint32_t> init_length;
  uint32_t init_check;                                       ///< a checksum of `init`
  alignas(8) std::array<std::byte, kInitMax> init;           ///< the FUSE_INIT request as it was read, then zeros
  std::array<std::atomic<uint64_t>, kOpcodeCount> answered;  ///< per opcode; [0] counts opcodes unknown to us
  std::atomic<uint64_t> forgets;                             ///< FORGET and BATCH_FORGET executed
  std::atomic<uint32_t> has_negotiation;                     ///< `negotiation` counts; stored after it. Slot 0 only.
  uint32_t unused_too;
  Negotiation negotiation;

  /// Keeps the request; what is longer than kInitMax is cut.
  void save_init(std::span<const std::byte> request);
  /// The FUSE_INIT request that the connection began with, perhaps cut; empty if it has not begun. Throws
  /// std::runtime_error if it is not what was kept.
  std::span<const std::byte> saved_init() const;
};
static_assert(sizeof(ReaderRecord) <= kPageSize);

/// One reader's place in the image: the buffer its requests are read into, replies are made in and its ReaderRecord
/// lies in, and the record of the request's intent and outcome. Not owning. Used by one thread at a time.
///
/// The buffer: | request, from its first byte on ... | ReaderRecord | with replies from the second page on: a request
/// whose reply is made here (READ, READDIR, READDIRPLUS, READLINK) is shorter than a page.
class RequestSlot {
 public:
  RequestSlot(const Image& image, uint32_t slot);

  /// Where a request may be read to.
  std::span<std::byte> request_space() const { return buffer_.first(buffer_.size() - kPageSize); }
  std::span<std::byte> reply_space() const { return request_space().subspan(kPageSize); }
  /// The largest WRITE that fits, and the largest READ.
  size_t transfer_max() const { return buffer_.size() - 2 * kPageSize; }

  const fuse_in_header& header() const { return *reinterpret_cast<const fuse_in_header*>(buffer_.data()); }
  /// The argument structure behind the header, of a request that check_request() has passed.
  template <class Argument>
  const Argument& argument() const {
    return *reinterpret_cast<const Argument*>(buffer_.data() + sizeof(fuse_in_header));
  }
  /// True if a request was read that is not finished. A damaged slot may seem so: its request has no length.
  bool is_pending() const { return unique().load(std::memory_order_acquire) != 0; }
  /// Bytes that the request in the slot moves, about: of those that take a range of a file, else 0.
  uint32_t transfer() const;
  /// Says that there is no request; before each read, and at the end of each request.
  void clear() const {
    auto& header = *reinterpret_cast<fuse_in_header*>(buffer_.data());
    durable_store(header.unique, 0);
    header.len = 0;  // so that no single bit brings the request back
  }

  RequestRecord& request() const { return request_; }
  ReaderRecord& reader() const { return *reinterpret_cast<ReaderRecord*>(buffer_.data() + request_space().size()); }

  /// Makes the buffer resident and writable in this process and, where permitted, locks it there: a kill during the
  /// kernel's copy to a page that is not would end the request with EIO. True if it is locked; otherwise only swapping
  /// can take the pages away. Throws std::runtime_error without memory.
  bool populate() const;

 private:
  std::atomic_ref<uint64_t> unique() const;

  Region region_;
  std::span<std::byte> buffer_;
  RequestRecord& request_;
};

}  // namespace ztmpfs
