#include <atomic>
#include <mutex>

#include "fs/filesystem.h"

namespace ztmpfs {

// Is `ino` the directory `ancestor`, or somewhere below it? Parents change under the tree lock only, which the caller
// holds.
bool FileSystem::is_ancestor(uint64_t ancestor, uint64_t ino) const {
  while (ino != ancestor) {
    if (ino == kRootIno) return false;
    ino = std::atomic_ref(inodes_[ino_index(ino)].parent).load(std::memory_order_relaxed);
  }
  return true;
}

Result<void> FileSystem::rename(Operation& op, uint64_t parent, std::string_view name, uint64_t new_parent,
                                std::string_view new_name, uint32_t flags) {
  const auto is_dot = [](std::string_view text) { return text == "." || text == ".."; };
  if (name.size() > kNameMax || new_name.size() > kNameMax) return fail(std::errc::filename_too_long);
  if (is_dot(name) || is_dot(new_name)) return fail(std::errc::device_or_resource_busy);
  constexpr uint32_t kKnownFlags = kRenameNoReplace | kRenameExchange | kRenameWhiteout;
  const bool bad_flags = (flags & ~kKnownFlags) != 0 || ((flags & kRenameExchange) != 0 && flags != kRenameExchange);
  if (bad_flags || new_name.empty() || new_name.find('/') != new_name.npos) return fail(std::errc::invalid_argument);
  const RenameArguments arguments{parent, name, new_parent, new_name, flags};
  return with_room(kRecordsRoom, [&] { return try_rename(op, arguments); });
}

Result<void> FileSystem::try_rename(Operation& op, const RenameArguments& arguments) {
  const auto& [parent, name, new_parent, new_name, flags] = arguments;
  const ReaderLock frozen(freeze_);
  uint64_t dead = 0;
  while (true) {
    const auto source = peek_name(parent, name);
    if (!source) return fail(source.error());
    const auto target = peek_name(new_parent, new_name);
    if (!target && target.error() != std::errc::no_such_file_or_directory) return fail(target.error());
    const uint64_t target_ino = target ? target->ino : 0;
    // Directories may change their parents: nobody else's ancestry changes meanwhile.
    const bool moves_directory = parent != new_parent && (S_ISDIR(source->type) || (target && S_ISDIR(target->type)));
    const std::unique_lock tree =
        moves_directory ? std::unique_lock(tree_mutex_.native()) : std::unique_lock<std::mutex>();
    const InodeLockSet locks(inode_locks_, {{parent, InodeLock::kExclusive},
                                            {new_parent, InodeLock::kExclusive},
                                            {source->ino, InodeLock::kExclusive},
                                            {target_ino, InodeLock::kExclusive}});
    const auto source_now = find_name(parent, name);
    if (!source_now) return fail(source_now.error());
    const auto target_now = find_name(new_parent, new_name);
    if (!target_now && target_now.error() != std::errc::no_such_file_or_directory) return fail(target_now.error());
    if (source_now->ino != source->ino || (target_now ? target_now->ino : 0) != target_ino) continue;
    const Found* found = target_now ? &*target_now : nullptr;
    auto done = rename_locked(op, arguments, *source_now, found);
    const InodeRecord* victim = found != nullptr ? &inodes_[ino_index(found->ino)] : nullptr;
    if (done && victim != nullptr && victim->state == InodeRecord::kDead) dead = found->ino;
    if (!done) return done;
    break;
  }
  if (dead != 0) reap(dead);
  return {};
}

Result<void> FileSystem::check_rename(const RenameArguments& arguments, const Found& source,
                                      const Found* target) const {
  const bool exchange = (arguments.flags & kRenameExchange) != 0;
  const bool source_is_directory = S_ISDIR(source.type);
  if (find_inode(arguments.new_parent)->nlink == 0) return fail(std::errc::no_such_file_or_directory);
  if (arguments.parent != arguments.new_parent) {
    if (source_is_directory && is_ancestor(source.ino, arguments.new_parent)) return fail(std::errc::invalid_argument);
    if (target != nullptr && S_ISDIR(target->type) && is_ancestor(target->ino, arguments.parent))
      return fail(exchange ? std::errc::invalid_argument : std::errc::directory_not_empty);
  }
  if (target == nullptr && exchange) return fail(std::errc::no_such_file_or_directory);
  if (target != nullptr && (arguments.flags & kRenameNoReplace) != 0) return fail(std::errc::file_exists);
  if (target != nullptr && target->ino == source.ino) return {};
  if (auto allowed = may_remove_name(*find_inode(arguments.parent), *find_inode(source.ino)); !allowed) return allowed;
  const InodeRecord& new_parent = *find_inode(arguments.new_parent);
  if (target == nullptr) return may_add_name(new_parent);
  if (auto allowed = may_remove_name(new_parent, *find_inode(target->ino)); !allowed) return allowed;
  if (exchange) return {};
  const bool target_is_directory = S_ISDIR(target->type);
  if (target_is_directory && !source_is_directory) return fail(std::errc::is_a_directory);
  if (!target_is_directory && source_is_directory) return fail(std::errc::not_a_directory);
  if (target_is_directory && !index_of(target->ino)->empty()) return fail(std::errc::directory_not_empty);
  return {};
}

Result<void> FileSystem::rename_locked(Operation& op, const RenameArguments& arguments, const Found& source,
                                       const Found* target) {
  if (auto allowed = check_rename(arguments, source, target); !allowed) return allowed;
  if (target == nullptr) return move_name(op, arguments, source);
  // Two names of one inode: nothing happens, says rename(2).
  if (target->ino == source.ino) return {};
  if ((arguments.flags & kRenameExchange) == 0) return replace_name(op, arguments, source, *target);
  exchange_names(op, arguments, source, *target);
  return {};
}

// What the source's entry is to name instead, to be published by the rename's transaction: a device 0/0, as overlayfs
// takes for "removed here" (renameat2(2), RENAME_WHITEOUT). 0 if nothing was asked for.
Result<uint32_t> FileSystem::allocate_whiteout(const Operation& op, const RenameArguments& arguments) {
  if ((arguments.flags & kRenameWhiteout) == 0) return 0;
  const InodeRecord& directory = *find_inode(arguments.parent);
  const auto index = allocate_inode(directory, op.caller(), {.mode = S_IFCHR}, arguments.parent);
  if (index) inodes_[*index].lookups = 0;
  return index;
}

// The source's entry goes, or comes to name the whiteout.
void FileSystem::leave_source(Transaction& transaction, const Found& source, uint32_t whiteout) {
  NameHead& entry = names_[source.name_id];
  if (whiteout == 0) return transaction.set(entry.parent, 0);
  InodeRecord& inode = inodes_[whiteout];
  publish_inode(transaction, inode);
  transaction.set(entry.ino, make_ino(whiteout, inode.uses));
  transaction.set(entry.descriptor, entry.descriptor_with_type(inode.mode));
}

// The entry gets a new record in the other directory; the old one goes.
Result<void> FileSystem::move_name(Operation& op, const RenameArguments& arguments, const Found& source) {
  InodeRecord& moved = *find_inode(source.ino);
  const uint64_t cookie = find_inode(arguments.new_parent)->next_cookie;
  const auto whiteout = allocate_whiteout(op, arguments);
  if (!whiteout) return fail(whiteout.error());
  const auto name_id = names_.allocate(arguments.new_name, source.ino, moved.mode, cookie);
  if (!name_id) {
    if (*whiteout != 0) discard_inode(*whiteout);
    return fail(name_id.error());
  }
  const int gone = *whiteout == 0 ? 1 : 0;
  const Time time = now();
  const bool same_parent = arguments.parent == arguments.new_parent;
  const int subdirectories = moved.is_directory() ? 1 : 0;
  Transaction transaction = op.begin();
  transaction.set(names_[*name_id].parent, arguments.new_parent);
  leave_source(transaction, source, *whiteout);
  set_ctime(transaction, moved, time);
  if (same_parent) {
    change_directory(transaction, {arguments.parent, 1 - gone, 0, true}, time);
  } else {
    change_directory(transaction, {arguments.parent, -gone, -subdirectories, false}, time);
    change_directory(transaction, {arguments.new_parent, 1, subdirectories, true}, time);
    if (moved.is_directory()) transaction.set(moved.parent, arguments.new_parent);
  }
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
  if (gone != 0) erase_name(arguments.parent, source.name_id);
  index_of(arguments.new_parent)->insert(*name_id);
  return {};
}

// The target's entry comes to name the source's inode; the source's entry goes.
Result<void> FileSystem::replace_name(Operation& op, const RenameArguments& arguments, const Found& source,
                                      const Found& target) {
  const auto whiteout = allocate_whiteout(op, arguments);
  if (!whiteout) return fail(whiteout.error());
  const int gone = *whiteout == 0 ? 1 : 0;
  InodeRecord& moved = *find_inode(source.ino);
  InodeRecord& victim = *find_inode(target.ino);
  NameHead& entry = names_[target.name_id];
  const Time time = now();
  const bool same_parent = arguments.parent == arguments.new_parent;
  const int subdirectories = moved.is_directory() ? 1 : 0;
  Transaction transaction = op.begin();
  transaction.set(entry.ino, source.ino);
  transaction.set(entry.descriptor, entry.descriptor_with_type(moved.mode));
  leave_source(transaction, source, *whiteout);
  set_ctime(transaction, moved, time);
  change_directory(transaction, {arguments.parent, -gone, -subdirectories, false}, time);
  if (!same_parent) {
    // One directory more and one less: only the moved one's parent is new.
    change_directory(transaction, {arguments.new_parent, 0, 0, false}, time);
    if (moved.is_directory()) transaction.set(moved.parent, arguments.new_parent);
  }
  drop_link(transaction, victim, time);
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
  if (gone != 0) erase_name(arguments.parent, source.name_id);
  return {};
}

// Each entry comes to name the other's inode.
void FileSystem::exchange_names(Operation& op, const RenameArguments& arguments, const Found& source,
                                const Found& target) {
  InodeRecord& first = *find_inode(source.ino);
  InodeRecord& second = *find_inode(target.ino);
  NameHead& first_entry = names_[source.name_id];
  NameHead& second_entry = names_[target.name_id];
  const Time time = now();
  Transaction transaction = op.begin();
  transaction.set(first_entry.ino, target.ino);
  transaction.set(first_entry.descriptor, first_entry.descriptor_with_type(second.mode));
  transaction.set(second_entry.ino, source.ino);
  transaction.set(second_entry.descriptor, second_entry.descriptor_with_type(first.mode));
  set_ctime(transaction, first, time);
  set_ctime(transaction, second, time);
  const int subdirectories = int(second.is_directory()) - int(first.is_directory());
  if (arguments.parent == arguments.new_parent) {
    change_directory(transaction, {arguments.parent, 0, 0, false}, time);
  } else {
    change_directory(transaction, {arguments.parent, 0, subdirectories, false}, time);
    change_directory(transaction, {arguments.new_parent, 0, -subdirectories, false}, time);
    if (first.is_directory()) transaction.set(first.parent, arguments.new_parent);
    if (second.is_directory()) transaction.set(second.parent, arguments.parent);
  }
  op.commit(transaction, {.kind = Outcome::kDone, .unused = 0, .value = 0, .attr = {}});
}

}  // namespace ztmpfs
