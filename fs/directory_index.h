#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fs/name_table.h"

namespace ztmpfs {

/// The entries of one directory, by name and in the order of their cookies. Derived from the name table.
/// Not thread-safe: the directory's inode lock covers it.
class DirectoryIndex {
 public:
  explicit DirectoryIndex(const NameTable& names) : by_name_(0, Hash{&names}, Equal{&names}), names_(&names) {}

  /// The number of the entry, 0 if there is none.
  uint32_t find(std::string_view name) const;
  /// False if the name is there already.
  bool insert(uint32_t id);
  void erase(uint32_t id);
  /// Attach only: inserts in any order; false if the name is there already. finish_attach() puts them in order; false
  /// if two of them have one cookie.
  [[nodiscard]] bool adopt(uint32_t id);
  [[nodiscard]] bool finish_attach();
  bool empty() const { return by_name_.empty(); }
  size_t size() const { return by_name_.size(); }
  /// The first entry whose cookie is above `cookie`, 0 at the end.
  uint32_t next(uint64_t cookie) const;

 private:
  struct Key {
    std::string_view name;
    uint32_t hash;
  };
  struct Hash {
    using is_transparent = void;
    const NameTable* names;
    size_t operator()(uint32_t id) const { return mix((*names)[id].hash()); }
    size_t operator()(const Key& key) const { return mix(key.hash); }
    static size_t mix(uint32_t hash) { return size_t(hash) * 0x9e3779b97f4a7c15ULL; }
  };
  struct Equal {
    using is_transparent = void;
    const NameTable* names;
    bool operator()(uint32_t a, uint32_t b) const { return a == b || (*names)[a].text() == (*names)[b].text(); }
    bool operator()(const Key& key, uint32_t id) const { return equal(key, id); }
    bool operator()(uint32_t id, const Key& key) const { return equal(key, id); }
    bool equal(const Key& key, uint32_t id) const {
      const NameHead& head = (*names)[id];
      return head.hash() == key.hash && head.text() == key.name;
    }
  };
  struct Entry {
    uint64_t cookie;
    uint32_t id;  // 0: erased
  };

  void drop_erased();

  boost::unordered_flat_set<uint32_t, Hash, Equal> by_name_;
  std::vector<Entry> by_cookie_;  // ascending
  size_t erased_ = 0;
  const NameTable* names_;
};

}  // namespace ztmpfs
