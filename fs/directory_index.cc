#include "fs/directory_index.h"

#include <algorithm>

#include "base/check.h"

namespace ztmpfs {

uint32_t DirectoryIndex::find(std::string_view name) const {
  const auto found = by_name_.find(Key{name, NameTable::hash(name)});
  return found == by_name_.end() ? 0 : *found;
}

bool DirectoryIndex::insert(uint32_t id) {
  if (!by_name_.insert(id).second) return false;
  const uint64_t cookie = (*names_)[id].cookie;
  ZTMPFS_CHECK(by_cookie_.empty() || by_cookie_.back().cookie < cookie, "a directory's cookies do not grow");
  by_cookie_.push_back({cookie, id});
  return true;
}

bool DirectoryIndex::adopt(uint32_t id) {
  by_cookie_.push_back({(*names_)[id].cookie, id});
  return by_name_.insert(id).second;
}

bool DirectoryIndex::finish_attach() {
  std::ranges::sort(by_cookie_, {}, &Entry::cookie);
  return std::ranges::adjacent_find(by_cookie_, {}, &Entry::cookie) == by_cookie_.end();
}

void DirectoryIndex::erase(uint32_t id) {
  by_name_.erase(id);
  const auto place = std::ranges::lower_bound(by_cookie_, (*names_)[id].cookie, {}, &Entry::cookie);
  ZTMPFS_CHECK(place != by_cookie_.end() && place->id == id, "a directory lost an entry it does not have");
  place->id = 0;
  if (++erased_ > 32 && erased_ > by_cookie_.size() / 2) drop_erased();
}

uint32_t DirectoryIndex::next(uint64_t cookie) const {
  auto place = std::ranges::upper_bound(by_cookie_, cookie, {}, &Entry::cookie);
  while (place != by_cookie_.end() && place->id == 0) ++place;
  return place == by_cookie_.end() ? 0 : place->id;
}

void DirectoryIndex::drop_erased() {
  std::erase_if(by_cookie_, [](const Entry& entry) { return entry.id == 0; });
  if (by_cookie_.size() < by_cookie_.capacity() / 4) by_cookie_.shrink_to_fit();
  if (by_name_.size() < by_name_.bucket_count() / 8) by_name_.rehash(0);
  erased_ = 0;
}

}  // namespace ztmpfs
