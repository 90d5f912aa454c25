// Extended attributes, POSIX ACLs among them. All of an inode lie in one blob, which is the contents of an auxiliary
// record; a change writes a new one, and one transaction exchanges them.
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "base/durable_store.h"
#include "fs/filesystem.h"
#include "fs/posix_acl.h"

namespace ztmpfs {

namespace {

constexpr std::errc kNoData = std::errc::no_message_available;  // ENODATA
constexpr std::errc kNotSupported = std::errc::operation_not_supported;
constexpr std::string_view kTrusted = "trusted.";
constexpr std::array<std::string_view, 3> kPrefixes{"user.", kTrusted, "security."};

struct Special {
  std::string_view name;
  InodeRecord::XattrKinds kind;
};

constexpr std::array kSpecials{
    Special{"security.capability", InodeRecord::kCapability},
    Special{PosixAcl::kAccessName, InodeRecord::kAccessAcl},
    Special{PosixAcl::kDefaultName, InodeRecord::kDefaultAcl},
};

bool is_acl(uint32_t kind) { return kind == InodeRecord::kAccessAcl || kind == InodeRecord::kDefaultAcl; }

uint32_t kinds_of(const XattrBlob& blob) {
  uint32_t kinds = 0;
  for (const Special& special : kSpecials)
    if (blob.find(special.name)) kinds |= special.kind;
  return kinds;
}

// What getxattr(2) and listxattr(2) do with their buffer.
Result<size_t> copy_out(std::span<const std::byte> bytes, std::span<std::byte> target) {
  if (target.empty()) return bytes.size();
  if (bytes.size() > target.size()) return fail(std::errc::result_out_of_range);
  std::ranges::copy(bytes, target.begin());
  return bytes.size();
}

}  // namespace

// The bit of XattrKinds for an attribute that means something to us, 0 for others.
Result<uint32_t> FileSystem::xattr_kind(std::string_view name) const {
  if (name.empty() || name.size() > kXattrNameMax) return fail(std::errc::result_out_of_range);
  if (const auto special = std::ranges::find(kSpecials, name, &Special::name); special != kSpecials.end()) {
    if (is_acl(special->kind) && !options_.acl) return fail(kNotSupported);
    return special->kind;
  }
  for (const std::string_view prefix : kPrefixes)
    if (name.starts_with(prefix)) return name == prefix ? Result<uint32_t>(fail(std::errc::invalid_argument)) : 0;
  return fail(kNotSupported);
}

Result<XattrBlob> FileSystem::read_xattrs(const InodeRecord& inode) const {
  if (inode.xattrs == 0) return XattrBlob();
  std::vector<std::byte> bytes(inodes_[inode.xattrs].size);
  if (auto done = store_.read(inode.xattrs, 0, bytes); !done) return fail(done.error());
  auto blob = XattrBlob::parse(std::move(bytes));
  if (!blob) return fail(std::errc::io_error);
  for (const Special& special : kSpecials)
    if ((inode.xattr_kinds & special.kind) == 0) blob->remove(special.name);
  return *std::move(blob);
}

// A record that is complete but for its state, as a new inode's; 0 for no attributes.
Result<uint32_t> FileSystem::write_xattrs(uint64_t ino, const XattrBlob& blob, Admission admission) {
  if (blob.empty()) return 0;
  if (blob.bytes().size() > kXattrsMax) return fail(std::errc::no_space_on_device);
  const uint32_t index = begin_record(admission);
  if (index == 0) return fail(std::errc::no_space_on_device);
  auxiliaries_.fetch_add(1, std::memory_order_relaxed);
  InodeRecord& record = inodes_[index];
  kill_point();
  record.parent = ino;
  record.size = blob.bytes().size();
  const auto written = store_.write(index, 0, blob.bytes(), admission);
  if (written == blob.bytes().size()) return index;
  discard_inode(index);
  return fail(written ? std::errc::no_space_on_device : written.error());
}

Result<void> FileSystem::change_xattrs(Operation& op, uint64_t ino, const XattrBlob& blob, uint32_t mode) {
  InodeRecord& inode = *find_inode(ino);
  const uint32_t before = inode.xattrs;
  // What frees memory must not fail for want of it.
  const bool shrinks = before != 0 && blob.bytes().size() <= inodes_[before].size;
  const auto record = write_xattrs(ino, blob, shrinks ? Admission::kReserved : Admission::kCapped);
  if (!record) return fail(record.error());
  Transaction transaction = op.begin();
  if (*record != 0) transaction.set(inodes_[*record].state, InodeRecord::kAuxiliary);
  if (before != 0) transaction.set(inodes_[before].state, InodeRecord::kDead);
  transaction.set(inode.xattrs, *record);
  transaction.set(inode.xattr_kinds, kinds_of(blob));
  transaction.set(inode.mode, mode);
  set_ctime(transaction, inode, now());
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
  if (before != 0) discard_inode(before);
  return {};
}

Result<void> FileSystem::set_xattr(Operation& op, uint64_t ino, const XattrAssignment& what) {
  const auto kind = xattr_kind(what.name);
  if (!kind) return fail(kind.error());
  if (what.value.size() > kXattrValueMax) return fail(std::errc::argument_list_too_long);
  return with_room(kRecordsRoom + what.value.size(), [&] { return try_set_xattr(op, ino, what, *kind); });
}

Result<void> FileSystem::try_set_xattr(Operation& op, uint64_t ino, const XattrAssignment& what, uint32_t kind) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  if (inode->is_protected()) return fail(std::errc::operation_not_permitted);
  auto blob = read_xattrs(*inode);
  if (!blob) return fail(blob.error());
  if (is_acl(kind)) {
    const auto mode = set_acl(*blob, *inode, op.caller(), what);
    return mode ? change_xattrs(op, ino, *blob, *mode) : fail(mode.error());
  }
  const bool exists = blob->find(what.name).has_value();
  if (exists && (what.flags & XATTR_CREATE) != 0) return fail(std::errc::file_exists);
  if (!exists && (what.flags & XATTR_REPLACE) != 0) return fail(kNoData);
  blob->set(what.name, what.value);
  return change_xattrs(op, ino, *blob, inode->mode);
}

Result<void> FileSystem::remove_xattr(Operation& op, uint64_t ino, std::string_view name) {
  const auto kind = xattr_kind(name);
  if (!kind) return fail(kind.error());
  return with_room(kRecordsRoom, [&] { return try_remove_xattr(op, ino, name, *kind); });
}

Result<void> FileSystem::try_remove_xattr(Operation& op, uint64_t ino, std::string_view name, uint32_t kind) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kExclusive}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  // The kernel removes capabilities itself before a write, which may be allowed.
  if (inode->is_protected() && kind != InodeRecord::kCapability) return fail(std::errc::operation_not_permitted);
  auto blob = read_xattrs(*inode);
  if (!blob) return fail(blob.error());
  // An ACL that is not there is removed with success, and ctime tells of it: as on tmpfs.
  if (!blob->remove(name) && !is_acl(kind)) return fail(kNoData);
  return change_xattrs(op, ino, *blob, inode->mode);
}

Result<size_t> FileSystem::get_xattr(uint64_t ino, std::string_view name, std::span<std::byte> target) {
  const auto kind = xattr_kind(name);
  if (!kind) return fail(kind.error());
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  // The kernel asks for capabilities and ACLs over and over, and mostly there are none.
  if (inode->xattrs == 0 || (*kind & ~inode->xattr_kinds) != 0) return fail(kNoData);
  const auto blob = read_xattrs(*inode);
  if (!blob) return fail(blob.error());
  const auto value = blob->find(name);
  if (!value) return fail(kNoData);
  if (*kind != InodeRecord::kAccessAcl) return copy_out(*value, target);
  auto acl = PosixAcl::parse(*value);
  if (!acl) return fail(std::errc::io_error);
  acl->set_permissions(inode->mode);
  return copy_out(acl->serialize(), target);
}

Result<size_t> FileSystem::list_xattrs(uint64_t ino, const Caller& caller, std::span<std::byte> target) {
  const ReaderLock frozen(freeze_);
  const InodeLockSet locks(inode_locks_, {{ino, InodeLock::kShared}});
  const InodeRecord* inode = find_inode(ino);
  if (inode == nullptr) return fail(std::errc(ESTALE));
  const auto blob = read_xattrs(*inode);
  if (!blob) return fail(blob.error());
  std::string names;
  const auto append = [&](std::string_view name) { names.append(name).push_back('\0'); };
  // ACLs come first on tmpfs.
  for (const Special& special : kSpecials)
    if (is_acl(special.kind) && (inode->xattr_kinds & special.kind) != 0) append(special.name);
  blob->for_each([&](const XattrBlob::Attribute& attribute) {
    const bool is_hidden = caller.uid != 0 && attribute.name.starts_with(kTrusted);
    if (!is_hidden && !attribute.name.starts_with("system.")) append(attribute.name);
  });
  return copy_out(std::as_bytes(std::span(names)), target);
}

// Puts the ACL into the blob, or takes it out if the mode says as much. The mode that the inode has then.
Result<uint32_t> FileSystem::set_acl(XattrBlob& blob, const InodeRecord& inode, const Caller& caller,
                                     const XattrAssignment& what) const {
  if (inode.is_symlink()) return fail(kNotSupported);
  const auto acl = PosixAcl::parse(what.value);
  if (!acl) return fail(acl.error());
  const bool is_default = what.name == PosixAcl::kDefaultName;
  if (is_default && !inode.is_directory() && !acl->empty()) return fail(std::errc::permission_denied);
  uint32_t mode = inode.mode;
  if (!is_default && !acl->empty()) {
    const bool is_outsider = caller.uid != 0 && !caller.is_in_group(inode.gid);
    mode = (mode & ~0777U) | acl->permissions();
    if (what.kills_sgid.value_or(is_outsider)) mode &= ~uint32_t(S_ISGID);
  }
  if (acl->empty() || (!is_default && acl->is_minimal())) {
    blob.remove(what.name);
  } else {
    blob.set(what.name, what.value);
  }
  return mode;
}

// What a new inode, not published yet, gets from its directory: ACLs (posix_acl_create() in the kernel's
// fs/posix_acl.c), or else the permissions that the caller's umask leaves.
Result<void> FileSystem::inherit_acl(const InodeRecord& parent, const Caller& caller, uint64_t ino,
                                     InodeRecord& inode) {
  if (inode.is_symlink()) return {};
  if ((parent.xattr_kinds & InodeRecord::kDefaultAcl) == 0) {
    inode.mode &= ~(caller.umask & 0777);
    return {};
  }
  const auto inherited = read_xattrs(parent);
  if (!inherited) return fail(inherited.error());
  const auto value = inherited->find(PosixAcl::kDefaultName);
  auto acl = value ? PosixAcl::parse(*value) : fail(std::errc::io_error);
  if (!acl) return fail(std::errc::io_error);
  XattrBlob blob;
  if (inode.is_directory()) blob.set(PosixAcl::kDefaultName, *value);
  acl->restrict_to(inode.mode);
  inode.mode = (inode.mode & ~0777U) | acl->permissions();
  if (!acl->is_minimal()) blob.set(PosixAcl::kAccessName, acl->serialize());
  const auto record = write_xattrs(ino, blob, Admission::kCapped);
  if (!record) return fail(record.error());
  inode.xattrs = *record;
  inode.xattr_kinds = kinds_of(blob);
  return {};
}

// For whatever changes contents or owner of a file: its capabilities are void then (linux/fuse.h, FUSE_HANDLE_
// KILLPRIV_V2). The blob stays as it is, so that this cannot fail.
void FileSystem::drop_capability(Transaction& transaction, InodeRecord& inode) const {
  if ((inode.xattr_kinds & InodeRecord::kCapability) == 0) return;
  transaction.set(inode.xattr_kinds, inode.xattr_kinds & ~uint32_t(InodeRecord::kCapability));
}

// False for an auxiliary record that no inode, alive or dying, refers to.
bool FileSystem::has_owner(uint32_t auxiliary) const {
  const uint64_t ino = inodes_[auxiliary].parent;
  if (!inodes_.contains(ino_index(ino))) return false;
  InodeRecord& owner = inodes_[ino_index(ino)];
  const bool is_it = owner.ino_if(InodeRecord::kUsed, ino_index(ino)) == ino ||
                     owner.ino_if(InodeRecord::kDead, ino_index(ino)) == ino;
  return is_it && !owner.is_auxiliary() && owner.xattrs == auxiliary;
}

// Whether the record that it refers to says the same.
bool FileSystem::owns_xattrs(uint64_t ino, const InodeRecord& inode) const {
  if (!inodes_.contains(inode.xattrs)) return false;
  const InodeRecord& xattrs = inodes_[inode.xattrs];
  return xattrs.state == InodeRecord::kAuxiliary && xattrs.is_auxiliary() && xattrs.parent == ino;
}

void FileSystem::audit_xattrs(uint64_t ino, const InodeRecord& inode, std::vector<std::string>& breaches) const {
  const auto check = [&](bool holds, const char* breach) {
    if (!holds) breaches.push_back("inode " + std::to_string(ino) + ": " + breach);
    return holds;
  };
  if (inode.xattrs == 0) {
    check(inode.xattr_kinds == 0, "says that it has xattrs, and has none");
    return;
  }
  if (!check(owns_xattrs(ino, inode), "refers to xattrs that are not its own")) return;
  check(store_.end(inode.xattrs) == inodes_[inode.xattrs].size, "has xattrs of another length than they say");
  const auto blob = read_xattrs(inode);
  if (check(blob.has_value(), "has xattrs that cannot be read"))
    check(kinds_of(*blob) == inode.xattr_kinds, "lacks xattrs that it says it has");
}

}  // namespace ztmpfs
