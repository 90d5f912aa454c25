// What the kernel holds goes with its connection; what has a name stays.
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

void purge(FsRig& rig) {
  while (rig.fs().purge_step()) continue;
}

TEST(EndConnection, LookupsGoAndWhatOnlyTheyKeptGoesWithThem) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "directory")->ino;
  const uint64_t file = rig.create(directory, "file")->ino;
  rig.write(file, 0, "contents");
  const uint64_t removed = rig.create(directory, "removed")->ino;
  rig.write(removed, 0, std::string(3'000'000, 'r'));
  rig.set_xattr(removed, "user.name", "value");
  ASSERT_TRUE(rig.unlink(directory, "removed"));
  const uint64_t nameless = rig.tmpfile(kRoot)->ino;
  const uint64_t removed_directory = rig.mkdir(kRoot, "removed")->ino;
  ASSERT_TRUE(rig.rmdir(kRoot, "removed"));
  rig.lookup(kRoot, "directory");
  rig.fs().end_connection();
  purge(rig);
  rig.expect_sound();
  for (const uint64_t ino : {removed, nameless, removed_directory})
    EXPECT_EQ(rig.fs().getattr(ino).error(), std::errc(ESTALE));
  EXPECT_EQ(rig.fs().files(), 3U);
  EXPECT_EQ(rig.fs().directories(), 2U);
  EXPECT_EQ(rig.read(file), "contents");
  // A single lookup now keeps it no longer than until it is forgotten.
  ASSERT_TRUE(rig.lookup(directory, "file"));
  ASSERT_TRUE(rig.unlink(directory, "file"));
  rig.forget(file);
  EXPECT_EQ(rig.fs().getattr(file).error(), std::errc(ESTALE));
  EXPECT_EQ(rig.volume().stats().store.orig_data_size, 0U);
}

TEST(EndConnection, MayBeCalledAgain) {
  FsRig rig;
  const uint64_t file = rig.create(kRoot, "file")->ino;
  rig.tmpfile(kRoot);
  for (int i = 0; i < 3; ++i) {
    rig.fs().end_connection();
    rig.attach();
    rig.expect_sound();
    EXPECT_EQ(rig.fs().files(), 2U);
    EXPECT_EQ(rig.lookup(kRoot, "file")->ino, file);
  }
}

TEST(EndConnection, GoesOnBesideBackgroundWork) {
  FsRig rig;
  std::vector<uint64_t> files;
  for (int i = 0; i < 50; ++i) {
    files.push_back(rig.create(kRoot, std::to_string(i))->ino);
    rig.write(files.back(), 0, std::string(100'000, char('a' + i % 26)));
    if (i % 2 == 0) {
      ASSERT_TRUE(rig.unlink(kRoot, std::to_string(i)));
    }
  }
  rig.volume().set_on_settled([](uint64_t) {});
  rig.volume().start();
  rig.clock().advance(std::chrono::seconds(10));
  rig.fs().end_connection();
  rig.volume().stop();
  rig.volume().shrink_to_contents();
  EXPECT_EQ(rig.fs().files(), 26U);
  rig.expect_sound();
}

// A kill lets a prefix of the stores happen: per inode the lookups, then, if it has no name, its state.
class EndConnectionCrash : public testing::Test {
 protected:
  static constexpr uint32_t kInodes = 20;

  // Every third has a name left, some others are large or have xattrs.
  void fill() {
    for (uint32_t i = 0; i < kInodes; ++i) {
      const std::string name = std::to_string(i);
      const uint64_t ino = (i % 5 == 4 ? rig_.mkdir(kRoot, name) : rig_.create(kRoot, name))->ino;
      ASSERT_TRUE(inodes_.insert(ino).second) << ino << " was used before";
      if (i % 5 != 4) rig_.write(ino, 0, std::string(i % 7 == 0 ? 1'500'000 : 10, 'x'));
      if (i % 4 == 1) rig_.set_xattr(ino, "user.name", std::string(300, 'v'));
      if (i % 3 == 0) continue;
      ASSERT_TRUE(i % 5 == 4 ? rig_.rmdir(kRoot, name) : rig_.unlink(kRoot, name));
    }
  }

  // Does so many of the stores that end_connection() begins with. False if there are fewer.
  bool store_first(uint32_t stores) {
    auto* inodes = reinterpret_cast<InodeRecord*>(rig_.volume().image().region(RegionId::kInodes).base());
    for (uint32_t index = 1; index < 4 * kInodes; ++index) {
      InodeRecord& inode = inodes[index];
      if (inode.state != InodeRecord::kUsed) continue;
      if (stores-- == 0) return true;
      inode.lookups = 0;
      if (inode.nlink != 0) continue;
      if (stores-- == 0) return true;
      inode.state = InodeRecord::kDead;
    }
    return false;
  }

  void remove_all() {
    for (const std::string& name : rig_.list(kRoot))
      if (name != "." && name != ".." && !rig_.unlink(kRoot, name)) static_cast<void>(rig_.rmdir(kRoot, name));
    purge(rig_);
    EXPECT_EQ(rig_.fs().files(), 1U);
    EXPECT_EQ(rig_.volume().stats().store.orig_data_size, 0U);
  }

  FsRig rig_;
  std::set<uint64_t> inodes_;
};

TEST_F(EndConnectionCrash, TheNextCallDoesTheRest) {
  bool is_partial = true;
  for (uint32_t stores = 0; is_partial && !HasFailure(); ++stores) {
    SCOPED_TRACE(stores);
    fill();
    is_partial = store_first(stores);
    EXPECT_TRUE(is_partial || stores > kInodes);
    rig_.attach();
    rig_.expect_sound();
    rig_.fs().end_connection();
    if (stores % 2 == 0) rig_.attach();  // killed again, with what is large still to be purged
    purge(rig_);
    rig_.expect_sound();
    EXPECT_EQ(rig_.fs().files(), 1 + (kInodes + 2) / 3);
    remove_all();
  }
}

}  // namespace
}  // namespace ztmpfs
