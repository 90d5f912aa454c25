#include "fs/name_table.h"

#include <xxhash.h>

#include <cstring>
#include <stdexcept>
#include <string>

#include "base/durable_store.h"

namespace ztmpfs {

NameTable::NameTable(const Image& image, MemoryBudget& budget)
    : short_names_(image.region(RegionId::kNames), budget), long_names_(image.region(RegionId::kLongNames), budget) {}

bool NameHead::is_intact(size_t text_max) const {
  return length() != 0 && length() <= text_max && NameTable::hash(text()) == hash() &&
         descriptor >> 44 == cookie_check(cookie);
}

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
  head.descriptor = uint64_t(hash(name)) | uint64_t(name.size()) << 32 | uint64_t(mode >> 12 & 0xf) << 40 |
                    NameHead::cookie_check(cookie) << 44;
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
  const auto attach_table = [&](auto& table, uint32_t kind_bit) {
    table.attach([&](uint32_t number, const auto& name) {
      if (name.head.parent == 0) return false;
      if (!name.head.is_intact(sizeof(name.text)))
        throw std::runtime_error("the image is damaged: directory entry " + std::to_string(number) +
                                 (kind_bit == 0 ? "" : " of those with long names") + " is not the one that was made");
      visit(number | kind_bit, name.head);
      return true;
    });
  };
  attach_table(short_names_, 0);
  attach_table(long_names_, kLongBit);
}

uint64_t NameTable::names_used() const {
  return short_names_.allocator().records_used() + long_names_.allocator().records_used();
}

Bytes NameTable::resident() const { return short_names_.allocator().resident() + long_names_.allocator().resident(); }

}  // namespace ztmpfs
