#include "fs/posix_acl.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>

#include <algorithm>
#include <cstring>

namespace ztmpfs {

// The attribute is little-endian, as everything that ztmpfs runs on.
Result<PosixAcl> PosixAcl::parse(std::span<const std::byte> value) {
  static_assert(sizeof(Entry) == sizeof(posix_acl_xattr_entry));
  posix_acl_xattr_header header;
  if (value.size() < sizeof(header)) return fail(std::errc::invalid_argument);
  std::memcpy(&header, value.data(), sizeof(header));
  if (header.a_version != POSIX_ACL_XATTR_VERSION) return fail(std::errc::operation_not_supported);
  const auto rest = value.subspan(sizeof(header));
  if (rest.size() % sizeof(Entry) != 0) return fail(std::errc::invalid_argument);
  PosixAcl acl;
  acl.entries_.resize(rest.size() / sizeof(Entry));
  if (!rest.empty()) std::memcpy(acl.entries_.data(), rest.data(), rest.size());
  if (!acl.empty() && !acl.is_valid()) return fail(std::errc::invalid_argument);
  return acl;
}

std::vector<std::byte> PosixAcl::serialize() const {
  const posix_acl_xattr_header header{.a_version = POSIX_ACL_XATTR_VERSION};
  std::vector<std::byte> value(sizeof(header) + entries_.size() * sizeof(Entry));
  std::memcpy(value.data(), &header, sizeof(header));
  if (!empty()) std::memcpy(value.data() + sizeof(header), entries_.data(), entries_.size() * sizeof(Entry));
  return value;
}

// In this order: the owner, named users, the owning group, named groups, the mask (which named entries need), others.
bool PosixAcl::is_valid() const {
  enum { kOwner, kUsers, kGroups, kOthers, kEnd } next = kOwner;
  bool needs_mask = false;
  for (const Entry& entry : entries_) {
    if ((entry.permissions & ~07) != 0) return false;
    switch (entry.tag) {
      case ACL_USER_OBJ:
        if (next != kOwner) return false;
        next = kUsers;
        break;
      case ACL_USER:
        if (next != kUsers || entry.id == uint32_t(ACL_UNDEFINED_ID)) return false;
        needs_mask = true;
        break;
      case ACL_GROUP_OBJ:
        if (next != kUsers) return false;
        next = kGroups;
        break;
      case ACL_GROUP:
        if (next != kGroups || entry.id == uint32_t(ACL_UNDEFINED_ID)) return false;
        needs_mask = true;
        break;
      case ACL_MASK:
        if (next != kGroups) return false;
        next = kOthers;
        break;
      case ACL_OTHER:
        if (next != kOthers && (next != kGroups || needs_mask)) return false;
        next = kEnd;
        break;
      default: return false;
    }
  }
  return next == kEnd;
}

PosixAcl::Entry* PosixAcl::find(uint16_t tag) {
  const auto found = std::ranges::find(entries_, tag, &Entry::tag);
  return found == entries_.end() ? nullptr : &*found;
}

PosixAcl::Entry* PosixAcl::group_entry() {
  Entry* mask = find(ACL_MASK);
  return mask != nullptr ? mask : find(ACL_GROUP_OBJ);
}

uint32_t PosixAcl::permissions() const {
  uint32_t owner = 0;
  uint32_t group = 0;
  uint32_t others = 0;
  for (const Entry& entry : entries_) {
    if (entry.tag == ACL_USER_OBJ) owner = entry.permissions;
    // The mask comes later than the owning group.
    if (entry.tag == ACL_GROUP_OBJ || entry.tag == ACL_MASK) group = entry.permissions;
    if (entry.tag == ACL_OTHER) others = entry.permissions;
  }
  return owner << 6 | group << 3 | others;
}

bool PosixAcl::is_minimal() const {
  return std::ranges::all_of(entries_, [](const Entry& entry) {
    return entry.tag == ACL_USER_OBJ || entry.tag == ACL_GROUP_OBJ || entry.tag == ACL_OTHER;
  });
}

void PosixAcl::set_permissions(uint32_t mode) {
  if (empty()) return;
  find(ACL_USER_OBJ)->permissions = uint16_t(mode >> 6 & 7);
  group_entry()->permissions = uint16_t(mode >> 3 & 7);
  find(ACL_OTHER)->permissions = uint16_t(mode & 7);
}

void PosixAcl::restrict_to(uint32_t mode) { set_permissions(permissions() & mode); }

}  // namespace ztmpfs
