#include "fs/name_table.h"

#include <xxhash.h>

#include <cstring>

#include "base/durable_store.h"

namespace ztmpfs {

NameTable::NameTable(const Image& image, MemoryBudget& budget)
    : short_names_(image.region(RegionId::kNames), budget), long_names_(image.region(RegionId::kLongNames), budget) {}

uint32_t NameTable::hash(std::string_view name) { return uint32_t(XXH3_64bits(name.data(), name.size())); }

Result<uint32_t> NameTable::allocate(std::string_view name, uint64_t ino, uint32_t mode, uint64_t cookie) {
  const bool is_short = name.size() <= sizeof(ShortName::text);
  const uint32_t number = is_short ? short_names_.allocator().allocate() : long_names_.allocator().allocate();
  if (number == 0) return fail(std::errc::no_space_on_device);
  const uint32_t id = is_short ? number : number | kLongBit;
  NameHead& head = (*this)[id];
  kill_point();
  head.ino = ino;
  head.cookie = cookie;
  head.descriptor = uint64_t(hash(name)) | uint64_t(name.size()) << 32 | uint64_t(mode >> 12 & 0xf) << 40;
  std::memcpy(reinterpret_cast<char*>(&head + 1), name.data(), name.size());
  return id;
}

void NameTable::release(uint32_t id) {
  if ((id & kLongBit) != 0) {
    long_names_.allocator().release(id & ~kLongBit);
  } else {
    short_names_.allocator().release(id);
  }
}

NameHead& NameTable::operator[](uint32_t id) const {
  return (id & kLongBit) != 0 ? long_names_[id & ~kLongBit].head : short_names_[id].head;
}

void NameTable::attach(const std::function<void(uint32_t, const NameHead&)>& visit) {
  short_names_.attach([](uint32_t, const ShortName& name) { return name.head.parent != 0; });
  long_names_.attach([](uint32_t, const LongName& name) { return name.head.parent != 0; });
  short_names_.allocator().for_each_resident([&](uint32_t id) {
    if (short_names_.contains(id)) visit(id, short_names_[id].head);
  });
  long_names_.allocator().for_each_resident([&](uint32_t id) {
    if (long_names_.contains(id)) visit(id | kLongBit, long_names_[id].head);
  });
}

uint64_t NameTable::names_used() const {
  return short_names_.allocator().records_used() + long_names_.allocator().records_used();
}

Bytes NameTable::resident() const { return short_names_.allocator().resident() + long_names_.allocator().resident(); }

}  // namespace ztmpfs
