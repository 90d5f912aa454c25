#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ztmpfs {

/// The extended attributes of one inode as they lie in the store: for each one the lengths of its value and its name,
/// 4 bytes each, then name and value. In descending order of the names, which is the order that tmpfs lists them in.
class XattrBlob {
 public:
  struct Attribute {
    std::string_view name;
    std::span<const std::byte> value;
  };

  XattrBlob() = default;
  /// Nothing if that is not what a blob is.
  static std::optional<XattrBlob> parse(std::vector<std::byte> bytes);

  /// Valid until the next change.
  std::optional<std::span<const std::byte>> find(std::string_view name) const;
  /// Adds the attribute, or replaces its value, which must not be part of this blob.
  void set(std::string_view name, std::span<const std::byte> value);
  /// False if there is no such attribute.
  bool remove(std::string_view name);

  bool empty() const { return bytes_.empty(); }
  std::span<const std::byte> bytes() const { return bytes_; }
  /// Calls visit(attribute) for each.
  template <class Visitor>
  void for_each(Visitor&& visit) const {
    for (size_t offset = 0; offset < bytes_.size(); offset = end_of(offset)) visit(at(offset));
  }

 private:
  size_t end_of(size_t offset) const;
  Attribute at(size_t offset) const;
  size_t place_of(std::string_view name) const;

  std::vector<std::byte> bytes_;
};

}  // namespace ztmpfs
