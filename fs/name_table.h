#pragma once

#include <cstdint>
#include <string_view>

#include "base/durable_table.h"
#include "base/image.h"
#include "base/result.h"

namespace ztmpfs {

/// What every directory entry has; the text follows it in memory. Durable. Covered by the lock of the directory.
struct NameHead {
  uint64_t parent;  ///< inode number of the directory; 0: free. Set by the transaction that links the name
  uint64_t ino;
  uint64_t cookie;  ///< for readdir: grows with each entry of a directory, never used twice
  /// Hash, length, file type and cookie_check(), in one word so that one store changes them together.
  uint64_t descriptor;

  uint32_t hash() const { return uint32_t(descriptor); }
  uint8_t length() const { return uint8_t(descriptor >> 32); }
  uint32_t type() const { return uint32_t(descriptor >> 40 & 0xf) << 12; }  ///< as in st_mode
  std::string_view text() const { return {reinterpret_cast<const char*>(this + 1), length()}; }
  /// Whether length, hash and cookie are those that were stored; `text_max` bounds the length.
  bool is_intact(size_t text_max) const;
  /// Twenty bits, which any damaged bit of the cookie changes.
  static uint64_t cookie_check(uint64_t cookie) {
    return (cookie ^ cookie >> 20 ^ cookie >> 40 ^ cookie >> 60) & 0xfffff;
  }
  /// The descriptor with another file type, for an entry that comes to name another inode.
  uint64_t descriptor_with_type(uint32_t mode) const {
    constexpr uint64_t kType = uint64_t(0xf) << 40;
    return (descriptor & ~kType) | uint64_t(mode >> 12 & 0xf) << 40;
  }
};

/// Entries whose names fit 32 bytes, which is nearly all, and the others.
struct ShortName {
  NameHead head;
  char text[32];
};
struct LongName {
  NameHead head;
  char text[256];
};

/// All directory entries of a volume, by number. Thread-safe as far as numbers go.
class NameTable {
 public:
  NameTable(const Image& image, MemoryBudget& budget);

  /// Writes a record for the name, not linked into a directory yet. ENOSPC at the memory cap.
  Result<uint32_t> allocate(std::string_view name, uint64_t ino, uint32_t mode, uint64_t cookie);
  /// The record says already that it is free (or was never linked).
  void release(uint32_t id);
  NameHead& operator[](uint32_t id) const;
  /// Rebuilds the allocators, then calls visit(id, head) for each name in a directory. Throws std::runtime_error for a
  /// name that is not the one that was stored.
  void attach(const std::function<void(uint32_t, const NameHead&)>& visit);
  uint64_t names_used() const;
  Bytes resident() const;

  static uint32_t hash(std::string_view name);

 private:
  static constexpr uint32_t kLongBit = 1U << 31;

  DurableTable<ShortName> short_names_;
  DurableTable<LongName> long_names_;
};

}  // namespace ztmpfs
