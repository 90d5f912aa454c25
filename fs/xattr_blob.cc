#include "fs/xattr_blob.h"

#include <cstdint>
#include <cstring>

namespace ztmpfs {

namespace {

struct Head {
  uint32_t value_length;
  uint32_t name_length;
};

Head head_at(std::span<const std::byte> bytes) {
  Head head;
  std::memcpy(&head, bytes.data(), sizeof(head));
  return head;
}

}  // namespace

std::optional<XattrBlob> XattrBlob::parse(std::vector<std::byte> bytes) {
  XattrBlob blob;
  blob.bytes_ = std::move(bytes);
  std::string_view before;
  for (std::span<const std::byte> rest = blob.bytes_; !rest.empty();) {
    if (rest.size() < sizeof(Head)) return std::nullopt;
    const Head head = head_at(rest);
    const uint64_t length = sizeof(Head) + uint64_t(head.name_length) + head.value_length;
    if (head.name_length == 0 || length > rest.size()) return std::nullopt;
    const std::string_view name(reinterpret_cast<const char*>(rest.data()) + sizeof(Head), head.name_length);
    if (!before.empty() && name >= before) return std::nullopt;
    before = name;
    rest = rest.subspan(length);
  }
  return blob;
}

size_t XattrBlob::end_of(size_t offset) const {
  const Head head = head_at(std::span(bytes_).subspan(offset));
  return offset + sizeof(Head) + head.name_length + head.value_length;
}

XattrBlob::Attribute XattrBlob::at(size_t offset) const {
  const auto bytes = std::span(bytes_).subspan(offset);
  const Head head = head_at(bytes);
  return {{reinterpret_cast<const char*>(bytes.data()) + sizeof(Head), head.name_length},
          bytes.subspan(sizeof(Head) + head.name_length, head.value_length)};
}

// Where the attribute is, or would have to be.
size_t XattrBlob::place_of(std::string_view name) const {
  size_t offset = 0;
  while (offset < bytes_.size() && at(offset).name > name) offset = end_of(offset);
  return offset;
}

std::optional<std::span<const std::byte>> XattrBlob::find(std::string_view name) const {
  const size_t place = place_of(name);
  if (place == bytes_.size() || at(place).name != name) return std::nullopt;
  return at(place).value;
}

void XattrBlob::set(std::string_view name, std::span<const std::byte> value) {
  remove(name);
  const Head head{.value_length = uint32_t(value.size()), .name_length = uint32_t(name.size())};
  const size_t place = place_of(name);
  bytes_.insert(bytes_.begin() + ptrdiff_t(place), sizeof(head) + name.size() + value.size(), std::byte(0));
  std::byte* target = bytes_.data() + place;
  std::memcpy(target, &head, sizeof(head));
  std::memcpy(target + sizeof(head), name.data(), name.size());
  if (!value.empty()) std::memcpy(target + sizeof(head) + name.size(), value.data(), value.size());
}

bool XattrBlob::remove(std::string_view name) {
  const size_t place = place_of(name);
  if (place == bytes_.size() || at(place).name != name) return false;
  bytes_.erase(bytes_.begin() + ptrdiff_t(place), bytes_.begin() + ptrdiff_t(end_of(place)));
  return true;
}

}  // namespace ztmpfs
