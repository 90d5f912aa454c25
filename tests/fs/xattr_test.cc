// Extended attributes of inodes, without a kernel.
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <thread>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr auto kNoData = std::errc::no_message_available;

TEST(Xattrs, AnAttributeComesBackUntilItIsRemoved) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  EXPECT_EQ(rig.get_xattr(ino, "user.a").error(), kNoData);
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", "value"));
  ASSERT_TRUE(rig.set_xattr(ino, "trusted.empty", ""));
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "value");
  EXPECT_EQ(rig.get_xattr(ino, "trusted.empty"), "");
  rig.attach();
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "value");
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", "another"));
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "another");
  EXPECT_TRUE(rig.remove_xattr(ino, "user.a"));
  EXPECT_EQ(rig.remove_xattr(ino, "user.a").error(), kNoData);
  EXPECT_EQ(rig.get_xattr(ino, "user.a").error(), kNoData);
  EXPECT_EQ(rig.get_xattr(ino, "trusted.empty"), "");
  rig.expect_sound();
}

TEST(Xattrs, CreateAndReplaceAreKeptApart) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  EXPECT_EQ(rig.set_xattr(ino, "user.a", "1", XATTR_REPLACE).error(), kNoData);
  EXPECT_TRUE(rig.set_xattr(ino, "user.a", "1", XATTR_CREATE));
  EXPECT_EQ(rig.set_xattr(ino, "user.a", "2", XATTR_CREATE).error(), std::errc::file_exists);
  EXPECT_EQ(rig.set_xattr(ino, "user.a", "2", XATTR_CREATE | XATTR_REPLACE).error(), std::errc::file_exists);
  EXPECT_EQ(rig.set_xattr(ino, "user.b", "2", XATTR_CREATE | XATTR_REPLACE).error(), kNoData);
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "1");
  EXPECT_TRUE(rig.set_xattr(ino, "user.a", "2", XATTR_REPLACE));
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "2");
}

TEST(Xattrs, NamesAndSizesHaveTheLimitsOfLinux) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  for (const char* name : {"user.", "trusted.", "security."})
    EXPECT_EQ(rig.set_xattr(ino, name, "v").error(), std::errc::invalid_argument) << name;
  for (const char* name : {"user", "nothing", "system.other", "User.a"})
    EXPECT_EQ(rig.set_xattr(ino, name, "v").error(), std::errc::operation_not_supported) << name;
  EXPECT_EQ(rig.set_xattr(ino, "", "v").error(), std::errc::result_out_of_range);
  const std::string longest = "user." + std::string(250, 'x');
  EXPECT_TRUE(rig.set_xattr(ino, longest, "v"));
  EXPECT_EQ(rig.set_xattr(ino, longest + "x", "v").error(), std::errc::result_out_of_range);
  EXPECT_EQ(rig.get_xattr(ino, longest + "x").error(), std::errc::result_out_of_range);
  EXPECT_EQ(rig.remove_xattr(ino, longest + "x").error(), std::errc::result_out_of_range);
  const std::string largest(FileSystem::kXattrValueMax, 'v');
  EXPECT_TRUE(rig.set_xattr(ino, "user.large", largest));
  EXPECT_EQ(rig.set_xattr(ino, "user.large", largest + "v").error(), std::errc::argument_list_too_long);
  EXPECT_EQ(rig.get_xattr(ino, "user.large"), largest);
  EXPECT_EQ(rig.set_xattr(99, "user.a", "v").error(), std::errc(ESTALE));
  rig.expect_sound();
}

TEST(Xattrs, ABufferIsFilledOnlyIfAllFits) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", "12345"));
  std::array<std::byte, 5> room{};
  EXPECT_EQ(rig.fs().get_xattr(ino, "user.a", {}), 5U);
  EXPECT_EQ(rig.fs().get_xattr(ino, "user.a", std::span(room).first(4)).error(), std::errc::result_out_of_range);
  EXPECT_EQ(room[0], std::byte(0));
  EXPECT_EQ(rig.fs().get_xattr(ino, "user.a", room), 5U);
  EXPECT_EQ(room[4], std::byte('5'));
  EXPECT_EQ(rig.fs().list_xattrs(ino, {}, {}), 7U);
  EXPECT_EQ(rig.fs().list_xattrs(ino, {}, room).error(), std::errc::result_out_of_range);
}

TEST(Xattrs, ListsAreOrderedAsOnTmpfsAndHideTrustedFromUsers) {
  FsRig rig;
  const uint64_t ino = rig.mkdir(kRoot, "dir")->ino;
  for (const char* name : {"user.b", "user.a", "trusted.z", "security.x"}) ASSERT_TRUE(rig.set_xattr(ino, name, "v"));
  EXPECT_EQ(rig.list_xattrs(ino), std::string("user.b\0user.a\0trusted.z\0security.x\0", 35));
  EXPECT_EQ(rig.list_xattrs(ino, 1000), std::string("user.b\0user.a\0security.x\0", 25));
  EXPECT_EQ(rig.list_xattrs(kRoot), "");
}

TEST(Xattrs, AChangeSetsCtimeAndNothingElse) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  const Attr before = *rig.fs().getattr(ino);
  rig.clock().advance(std::chrono::seconds(1));
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", "v"));
  const Attr after = *rig.fs().getattr(ino);
  EXPECT_GT(after.ctime, before.ctime);
  EXPECT_EQ(after.mtime, before.mtime);
  EXPECT_EQ(after.blocks, before.blocks);
  rig.clock().advance(std::chrono::seconds(1));
  EXPECT_FALSE(rig.remove_xattr(ino, "user.b"));
  EXPECT_EQ(rig.fs().getattr(ino)->ctime, after.ctime);
  ASSERT_TRUE(rig.remove_xattr(ino, "user.a"));
  EXPECT_GT(rig.fs().getattr(ino)->ctime, after.ctime);
}

TEST(Xattrs, TheyAreNoFilesAndGoWithTheirInode) {
  FsRig rig;
  const uint64_t file = rig.create(kRoot, "file")->ino;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  const uint64_t link = rig.symlink(kRoot, "link", "target")->ino;
  const uint64_t target_bytes = rig.volume().stats().store.orig_data_size;
  for (const uint64_t ino : {file, directory, link})
    ASSERT_TRUE(rig.set_xattr(ino, "trusted.a", std::string(5000, 'v')));
  EXPECT_EQ(rig.fs().files(), 4U);
  EXPECT_EQ(rig.fs().usage().files, 4U);
  EXPECT_EQ(rig.fs().directories(), 2U);
  rig.attach();
  EXPECT_EQ(rig.fs().files(), 4U);
  rig.expect_sound();
  ASSERT_TRUE(rig.unlink(kRoot, "file"));
  EXPECT_EQ(rig.get_xattr(file, "trusted.a"), std::string(5000, 'v'));
  rig.forget(file);
  EXPECT_EQ(rig.get_xattr(file, "trusted.a").error(), std::errc(ESTALE));
  rig.forget(directory);
  ASSERT_TRUE(rig.rmdir(kRoot, "dir"));
  EXPECT_EQ(rig.volume().stats().store.orig_data_size, target_bytes + 5000 + 17);
  ASSERT_TRUE(rig.unlink(kRoot, "link"));
  rig.fs().end_connection();
  EXPECT_EQ(rig.fs().files(), 1U);
  EXPECT_EQ(rig.volume().stats().store.orig_data_size, 0U);
  rig.expect_sound();
}

TEST(Xattrs, TheirRecordIsNoInodeForAnybody) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", "v"));
  for (uint64_t index = 0; index < 100; ++index) {
    if (index == kRoot || index == ino_index(ino)) continue;
    for (uint64_t uses = 0; uses < 3; ++uses) {
      const uint64_t forged = uses << 32 | index;
      EXPECT_EQ(rig.fs().getattr(forged).error(), std::errc(ESTALE));
      EXPECT_EQ(rig.lookup(forged, ".").error(), std::errc(ESTALE));
      rig.forget(forged);
    }
  }
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), "v");
  rig.expect_sound();
}

TEST(Xattrs, CapabilitiesAreVoidAfterChangesOfContentsOrOwner) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "program")->ino;
  const auto arm = [&] {
    ASSERT_TRUE(rig.set_xattr(ino, "user.other", "stays"));
    ASSERT_TRUE(rig.set_xattr(ino, "security.capability", "cap"));
    ASSERT_EQ(rig.get_xattr(ino, "security.capability"), "cap");
  };
  const auto change = [&](const SetAttr& what) {
    ASSERT_TRUE(rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, what); }));
  };
  const std::function<void()> changes[] = {
      [&] { ASSERT_EQ(rig.write(ino, 0, "x"), 1U); },
      [&] { change({.fields = SetAttr::kSize, .size = 0}); },
      [&] { change({.fields = SetAttr::kUid, .uid = 7}); },
      [&] { change({.fields = SetAttr::kGid, .gid = 7}); },
  };
  for (const auto& voids : changes) {
    arm();
    voids();
    EXPECT_EQ(rig.get_xattr(ino, "security.capability").error(), kNoData);
    EXPECT_EQ(rig.remove_xattr(ino, "security.capability").error(), kNoData);
    EXPECT_EQ(rig.list_xattrs(ino), std::string("user.other\0", 11));
    rig.expect_sound();
    rig.attach();
    EXPECT_EQ(rig.get_xattr(ino, "security.capability").error(), kNoData);
  }
  arm();
  change({.fields = SetAttr::kMode, .mode = 0700});
  change({.fields = SetAttr::kMtimeNow});
  EXPECT_EQ(rig.get_xattr(ino, "security.capability"), "cap");
}

TEST(Xattrs, OneInodeHasSoManyAndTheOldOnesStay) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  const std::string value(FileSystem::kXattrValueMax - 100, 'v');
  size_t count = 0;
  Result<void> done;
  while ((done = rig.set_xattr(ino, "user." + std::to_string(count), value))) ++count;
  EXPECT_EQ(done.error(), std::errc::no_space_on_device);
  EXPECT_EQ(count, FileSystem::kXattrsMax / FileSystem::kXattrValueMax);
  for (size_t i = 0; i < count; ++i) EXPECT_EQ(rig.get_xattr(ino, "user." + std::to_string(i)), value);
  EXPECT_TRUE(rig.remove_xattr(ino, "user.0"));
  EXPECT_TRUE(rig.set_xattr(ino, "user.new", value));
  rig.expect_sound();
}

TEST(Xattrs, AtTheCapTheOldValueStays) {
  FsRig rig(24 * kMiB);
  std::mt19937_64 random(1);
  const auto noise = [&](size_t size) {
    std::string text(size, '\0');
    for (char& c : text) c = char(random());
    return text;
  };
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  const std::string old_value = noise(3000);
  ASSERT_TRUE(rig.set_xattr(ino, "user.a", old_value));
  const uint64_t filler = rig.create(kRoot, "filler")->ino;
  const std::string block = noise(128 * kKiB);
  uint64_t offset = 0;
  for (size_t written = 1; written != 0; offset += written) written = rig.write(filler, offset, block).value_or(0);
  Result<void> done;
  for (int i = 0; i < 300 && done; ++i) done = rig.set_xattr(ino, "user.more" + std::to_string(i), noise(20'000));
  EXPECT_EQ(done.error(), std::errc::no_space_on_device);
  EXPECT_EQ(rig.set_xattr(ino, "user.a", noise(60'000)).error(), std::errc::no_space_on_device);
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), old_value);
  rig.expect_sound();
  ASSERT_TRUE(rig.unlink(kRoot, "filler"));
  rig.forget(filler);
  rig.volume().settle();
  const std::string new_value = noise(60'000);
  EXPECT_TRUE(rig.set_xattr(ino, "user.a", new_value));
  EXPECT_EQ(rig.get_xattr(ino, "user.a"), new_value);
  rig.expect_sound();
}

// For the thread sanitizer above all. Values are one letter, many times: a mixture would be seen.
TEST(XattrRace, ManyRequestsOnTheSameFewFilesKeepThemSound) {
  FsRig rig;
  FileSystem& fs = rig.fs();
  rig.volume().start();
  {
    std::vector<std::jthread> threads;
    for (uint32_t slot = 0; slot < 4; ++slot)
      threads.emplace_back([&, slot] {
        std::mt19937_64 random(slot + 1);
        std::vector<std::byte> space(20'000);
        for (int step = 0; step < 1000; ++step) {
          const std::string file(1, char('a' + random() % 3));
          const auto entry = rig.run([&](Operation& op) { return fs.create(op, kRoot, file, 0644, false); }, slot);
          ASSERT_TRUE(entry);
          const std::string name = "user." + std::to_string(random() % 3);
          const std::vector<std::byte> value(1 + random() % space.size(), std::byte(random()));
          rig.run([&](Operation& op) { return fs.set_xattr(op, entry->ino, {.name = name, .value = value}); }, slot);
          if (const auto length = fs.get_xattr(entry->ino, name, space)) {
            ASSERT_EQ(std::ranges::count(std::span(space).first(*length), space[0]), *length);
          }
          fs.list_xattrs(entry->ino, {}, space);
          if (random() % 4 == 0) rig.run([&](Operation& op) { return fs.remove_xattr(op, entry->ino, name); }, slot);
          if (random() % 4 == 0) rig.run([&](Operation& op) { return fs.unlink(op, kRoot, file); }, slot);
          rig.forget(entry->ino, 1, slot);
        }
      });
  }
  rig.volume().stop();
  rig.volume().settle();
  rig.expect_sound();
  EXPECT_LE(fs.files(), 4U);
}

// Files with attributes, and what they should have.
class XattrModelTest : public testing::TestWithParam<int> {
 protected:
  struct File {
    std::string name;
    uint64_t ino;
    std::map<std::string, std::string, std::greater<>> xattrs;
  };

  File& pick() {
    if (files_.size() < 4) {
      const std::string name = std::to_string(made_++);
      files_.push_back({name, rig_.create(kRoot, name)->ino, {}});
    }
    return files_[random_() % files_.size()];
  }
  void set(File& file, const std::string& name) {
    const auto flags = uint32_t(random_() % 3);
    const std::string value(random_() % (random_() % 8 == 0 ? 65'537 : 100), char(random_()));
    const bool fits = flags == 0 || file.xattrs.contains(name) == (flags == XATTR_REPLACE);
    ASSERT_EQ(rig_.set_xattr(file.ino, name, value, flags).has_value(), fits);
    if (fits) file.xattrs[name] = value;
  }
  void remove_file() {
    rig_.forget(files_.front().ino);
    ASSERT_TRUE(rig_.unlink(kRoot, files_.front().name));
    files_.erase(files_.begin());
  }
  void compare(const File& file) {
    std::string names;
    for (const auto& [name, value] : file.xattrs) {
      names += name + '\0';
      ASSERT_EQ(rig_.get_xattr(file.ino, name), value);
    }
    ASSERT_EQ(rig_.list_xattrs(file.ino), names);
  }

  FsRig rig_;
  std::mt19937_64 random_{uint64_t(GetParam())};
  std::vector<File> files_;
  int made_ = 0;
};

TEST_P(XattrModelTest, FilesAgreeWithMaps) {
  for (int step = 0; step < 1500 && !HasFatalFailure(); ++step) {
    File& file = pick();
    const std::string prefix = random_() % 4 == 0 ? "trusted." : "user.";
    const std::string name = prefix + std::string(1 + random_() % 3, char('a' + random_() % 4));
    const auto choice = random_() % 100;
    if (choice < 15) {
      ASSERT_EQ(rig_.remove_xattr(file.ino, name).has_value(), file.xattrs.erase(name) == 1);
    } else if (choice < 25) {
      rig_.volume().settle();
    } else if (choice < 27) {
      rig_.attach();
    } else {
      set(file, name);
    }
    if (step % 4 == 0) compare(file);
    if (choice == 99) remove_file();
    if (step % 100 == 99) {
      rig_.expect_sound();
      ASSERT_EQ(rig_.fs().files(), files_.size() + 1);
    }
  }
  while (!files_.empty()) remove_file();
  EXPECT_EQ(rig_.fs().files(), 1U);
  EXPECT_EQ(rig_.volume().stats().store.orig_data_size, 0U);
  rig_.expect_sound();
}

INSTANTIATE_TEST_SUITE_P(Seeds, XattrModelTest, testing::Range(1, 5));

}  // namespace
}  // namespace ztmpfs
