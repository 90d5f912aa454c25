#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ztmpfs {

/// A POSIX access control list, with the rules of the kernel's fs/posix_acl.c: what it stands for in a mode, what a new
/// file gets of its directory's. A value; pure functions.
class PosixAcl {
 public:
  static constexpr std::string_view kAccessName = "system.posix_acl_access";
  static constexpr std::string_view kDefaultName = "system.posix_acl_default";

  /// Reads the value of an extended attribute (linux/posix_acl_xattr.h, version 2): EINVAL if it is malformed or no
  /// valid list (posix_acl_valid()), EOPNOTSUPP for another version. No entries at all stand for "no list".
  static Result<PosixAcl> parse(std::span<const std::byte> value);
  /// The value of the attribute.
  std::vector<std::byte> serialize() const;

  bool empty() const { return entries_.empty(); }
  /// The nine permission bits that the list stands for (posix_acl_equiv_mode()).
  uint32_t permissions() const;
  /// True if those bits say all that the list says: it need not be kept.
  bool is_minimal() const;
  /// Has the list stand for the permission bits of `mode`: what chmod(2) does to it (posix_acl_chmod()).
  void set_permissions(uint32_t mode);
  /// Makes this, the default list of a directory, the access list of a file that is made there with `mode`: takes away
  /// what `mode` does not grant (posix_acl_create()).
  void restrict_to(uint32_t mode);

 private:
  struct Entry {
    uint16_t tag;
    uint16_t permissions;  // as the three bits of a mode
    uint32_t id;
  };

  bool is_valid() const;
  // The entry that the group bits of a mode are about: the mask, without one the owning group's.
  Entry* group_entry();
  Entry* find(uint16_t tag);

  std::vector<Entry> entries_;
};

}  // namespace ztmpfs
