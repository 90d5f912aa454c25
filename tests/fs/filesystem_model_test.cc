// Random operations on a FileSystem and on a model of a tree, compared step by step.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

struct ModelInode {
  bool is_directory;
  uint32_t nlink;
  std::string contents;
  std::map<std::string, uint64_t> entries;
  bool is_whiteout = false;
};

class ModelTest : public testing::TestWithParam<int> {
 protected:
  ModelTest() : random_(uint64_t(GetParam())) { inodes_[FileSystem::kRootIno] = {true, 2, "", {}, false}; }

  uint64_t pick(bool directory) {
    std::vector<uint64_t> candidates;
    for (const auto& [ino, inode] : inodes_)
      if (inode.is_directory == directory && (inode.nlink > 0)) candidates.push_back(ino);
    return candidates.empty() ? 0 : candidates[random_() % candidates.size()];
  }
  uint64_t pick_file() {
    const uint64_t ino = pick(false);
    return ino != 0 && inodes_[ino].is_whiteout ? 0 : ino;
  }
  std::string name() { return std::string(1 + random_() % 2 * 60, char('a' + random_() % 8)); }
  bool is_below(uint64_t ino, uint64_t ancestor) {
    if (ino == ancestor) return true;
    for (const auto& [name, child] : inodes_[ancestor].entries)
      if (inodes_[child].is_directory && is_below(ino, child)) return true;
    return false;
  }
  // The kernel holds a lookup for each inode the test knows; gone inodes are forgotten at once.
  void drop(uint64_t ino) {
    ModelInode& inode = inodes_[ino];
    inode.nlink = inode.is_directory ? 0 : inode.nlink - 1;
    if (inode.nlink > 0) return;
    rig_.forget(ino, lookups_[ino]);
    inodes_.erase(ino);
    lookups_.erase(ino);
  }

  void create(bool directory) {
    const uint64_t parent = pick(true);
    const std::string text = name();
    const auto made = directory ? rig_.mkdir(parent, text) : rig_.create(parent, text, true);
    ASSERT_EQ(made.has_value(), !inodes_[parent].entries.contains(text));
    if (!made) return;
    inodes_[parent].entries[text] = made->ino;
    inodes_[parent].nlink += directory ? 1 : 0;
    inodes_[made->ino] = {directory, directory ? 2U : 1U, "", {}, false};
    lookups_[made->ino] = 1;
  }
  void remove(bool directory) {
    const uint64_t parent = pick(true);
    const std::string text = name();
    const auto found = inodes_[parent].entries.find(text);
    const bool exists = found != inodes_[parent].entries.end();
    const bool fits =
        exists && inodes_[found->second].is_directory == directory && inodes_[found->second].entries.empty();
    const auto done = directory ? rig_.rmdir(parent, text) : rig_.unlink(parent, text);
    ASSERT_EQ(done.has_value(), fits);
    if (!fits) return;
    const uint64_t ino = found->second;
    inodes_[parent].entries.erase(found);
    inodes_[parent].nlink -= directory ? 1 : 0;
    drop(ino);
  }
  void link() {
    const uint64_t file = pick(false);
    const uint64_t parent = pick(true);
    const std::string text = name();
    if (file == 0) return;
    const auto done = rig_.link(file, parent, text);
    ASSERT_EQ(done.has_value(), !inodes_[parent].entries.contains(text));
    if (!done) return;
    inodes_[parent].entries[text] = file;
    ++inodes_[file].nlink;
    ++lookups_[file];
  }
  void rename() {
    const uint64_t from = pick(true);
    const uint64_t to = pick(true);
    const std::string text = name();
    const std::string new_text = name();
    auto& source_entries = inodes_[from].entries;
    const auto source = source_entries.find(text);
    const bool expected = may_rename(from, text, to, new_text);
    const bool leaves_whiteout = random_() % 4 == 0;
    const uint32_t flags = leaves_whiteout ? FileSystem::kRenameWhiteout : 0;
    ASSERT_EQ(rig_.rename(from, text, to, new_text, flags).has_value(), expected);
    if (!expected) return;
    const uint64_t moved = source->second;
    auto& target_entries = inodes_[to].entries;
    const auto target = target_entries.find(new_text);
    const uint64_t victim = target == target_entries.end() ? 0 : target->second;
    if (victim == moved) return;
    const bool is_directory = inodes_[moved].is_directory;
    source_entries.erase(source);
    target_entries[new_text] = moved;
    inodes_[from].nlink -= is_directory ? 1 : 0;
    inodes_[to].nlink += is_directory ? 1 : 0;
    if (leaves_whiteout) adopt_whiteout(from, text);
    if (victim == 0) return;
    inodes_[to].nlink -= is_directory ? 1 : 0;
    drop(victim);
  }
  void adopt_whiteout(uint64_t parent, const std::string& text) {
    const auto found = rig_.lookup(parent, text);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(found->mode, uint32_t(S_IFCHR));
    ASSERT_EQ(found->rdev, 0U);
    inodes_[parent].entries[text] = found->ino;
    inodes_[found->ino] = {false, 1, "", {}, true};
    lookups_[found->ino] = 1;
  }
  bool may_rename(uint64_t from, const std::string& text, uint64_t to, const std::string& new_text) {
    if (!inodes_[from].entries.contains(text)) return false;
    const uint64_t moved = inodes_[from].entries[text];
    if (inodes_[moved].is_directory && is_below(to, moved)) return false;
    if (!inodes_[to].entries.contains(new_text)) return true;
    const uint64_t victim = inodes_[to].entries[new_text];
    if (victim == moved) return true;
    return inodes_[victim].is_directory == inodes_[moved].is_directory && inodes_[victim].entries.empty();
  }
  void write() {
    const uint64_t file = pick_file();
    if (file == 0) return;
    std::string& contents = inodes_[file].contents;
    const bool is_small = random_() % 3 != 0;
    const uint64_t offset = random_() % (is_small ? 3 : 100'000);
    // What is small does not compress and has one of few sizes: so that there is something to compact.
    std::string data(is_small ? 300 * (1 + random_() % 8) : random_() % 70'000, char(random_()));
    if (is_small) std::ranges::generate(data, [this] { return char(random_()); });
    ASSERT_EQ(rig_.write(file, offset, data), data.size());
    if (data.empty()) return;
    if (contents.size() < offset + data.size()) contents.resize(offset + data.size());
    contents.replace(offset, data.size(), data);
  }
  void truncate() {
    const uint64_t file = pick_file();
    if (file == 0) return;
    const uint64_t size = random_() % 150'000;
    ASSERT_EQ(rig_.truncate(file, size)->size, size);
    inodes_[file].contents.resize(size);
  }
  void allocate() {
    const uint64_t file = pick_file();
    if (file == 0) return;
    std::string& contents = inodes_[file].contents;
    const uint64_t offset = random_() % 150'000;
    const uint64_t length = 1 + random_() % 100'000;
    const uint32_t flags = random_() % 3 == 0 ? FileSystem::kKeepSize : 0;
    ASSERT_TRUE(rig_.fallocate(file, flags, offset, length).has_value());
    if (flags == 0 && contents.size() < offset + length) contents.resize(offset + length);
  }
  void clear_range() {
    const uint64_t file = pick_file();
    if (file == 0) return;
    std::string& contents = inodes_[file].contents;
    const uint64_t offset = random_() % 150'000;
    const uint64_t length = 1 + random_() % 100'000;
    const uint32_t flags = random_() % 2 == 0 ? FileSystem::kPunchHole | FileSystem::kKeepSize
                                              : FileSystem::kZeroRange | FileSystem::kKeepSize;
    ASSERT_TRUE(rig_.fallocate(file, flags, offset, length).has_value());
    for (uint64_t i = offset; i < std::min<uint64_t>(contents.size(), offset + length); ++i) contents[i] = 0;
  }
  void copy() {
    const uint64_t from = pick_file();
    const uint64_t to = pick_file();
    if (from == 0 || to == 0 || from == to) return;
    const std::string source = inodes_[from].contents;
    const uint64_t grain = random_() % 2 == 0 ? 1 : 32 * kKiB;
    const uint64_t from_offset = random_() % (source.size() + 1) / grain * grain;
    const uint64_t to_offset = random_() % 100'000 / grain * grain;
    const uint64_t length = 1 + random_() % 100'000;
    const std::string part = source.substr(from_offset, length);
    ASSERT_EQ(rig_.copy({from, from_offset, to, to_offset, length}), part.size());
    if (part.empty()) return;
    std::string& target = inodes_[to].contents;
    if (target.size() < to_offset + part.size()) target.resize(to_offset + part.size());
    target.replace(to_offset, part.size(), part);
  }
  // The whole way, or compaction alone, as much as there is or a little of it.
  void reclaim() {
    ReclaimRequest request{.cause = ReclaimCause::kNoSpace};  // not logged each time
    const bool compacts_only = random_() % 2 == 0;
    if (compacts_only) request.only = "compaction";
    const bool everything = random_() % 2 == 0;
    if (!everything) request.target = random_() % (64 * kKiB);
    const Bytes counted = rig_.volume().pool().compactable();
    const Bytes before = rig_.volume().image().allocated();
    const ReclaimReport report = rig_.volume().reclaimer().run(request);
    if (compacts_only) {
      ASSERT_EQ(before - rig_.volume().image().allocated(), report.freed);
      ASSERT_TRUE(report.freed == counted || !everything);
    }
    ASSERT_TRUE(rig_.volume().pool().compactable() == 0 || !everything);
    rig_.expect_sound();
  }
  // What a new process does.
  void attach() {
    pages_compacted_ += rig_.volume().stats().pool.pages_compacted;
    rig_.attach();
  }
  uint64_t pages_compacted() { return pages_compacted_ + rig_.volume().stats().pool.pages_compacted; }

  void compare() {
    for (const auto& [ino, inode] : inodes_) {
      const auto attr = rig_.fs().getattr(ino);
      ASSERT_TRUE(attr.has_value());
      ASSERT_EQ(attr->nlink, inode.nlink);
      if (inode.is_whiteout) continue;
      if (!inode.is_directory) {
        ASSERT_EQ(rig_.read(ino), inode.contents);
        continue;
      }
      std::map<std::string, uint64_t> entries;
      ASSERT_TRUE(rig_.fs().readdir(
          ino, 2, [&](const DirectoryEntry& entry) { return entries.emplace(entry.name, entry.ino).second; }));
      ASSERT_EQ(entries, inode.entries);
    }
    ASSERT_EQ(rig_.fs().files(), inodes_.size());
    rig_.expect_sound();
  }

  FsRig rig_;
  std::mt19937_64 random_;
  std::map<uint64_t, ModelInode> inodes_;
  std::map<uint64_t, uint64_t> lookups_;
  uint64_t pages_compacted_ = 0;  // by the processes before this one
};

TEST_P(ModelTest, TheTreeAgreesWithItsModel) {
  for (int step = 0; step < 2000 && !HasFatalFailure(); ++step) {
    switch (random_() % 18) {
      case 0:
      case 1: create(false); break;
      case 2: create(true); break;
      case 3: remove(false); break;
      case 4: remove(true); break;
      case 5: link(); break;
      case 6:
      case 7: rename(); break;
      case 8:
      case 9:
      case 10:
      case 11:
      case 12: write(); break;
      case 13: truncate(); break;
      case 14: allocate(); break;
      case 15: clear_range(); break;
      case 16: copy(); break;
      default:
        rig_.clock().advance(std::chrono::milliseconds(500));
        rig_.volume().store().seal(20, random_() % 2 == 0, Effort::kFast);
        rig_.volume().store().recompress(20, random_() % 2 == 0);
    }
    if (random_() % 25 == 0) reclaim();
    if (step % 200 == 199) compare();
    if (step % 500 == 250) attach();
  }
  EXPECT_GT(pages_compacted(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, testing::Range(1, 9));

}  // namespace
}  // namespace ztmpfs
