// POSIX ACLs: the rules, and what inodes make of them.
#include "fs/posix_acl.h"

#include <gtest/gtest.h>
#include <linux/posix_acl.h>

#include <cstring>
#include <random>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr auto kNoData = std::errc::no_message_available;
constexpr uint32_t kNobody = uint32_t(ACL_UNDEFINED_ID);

struct Entry {
  uint16_t tag;
  uint16_t permissions;
  uint32_t id = kNobody;
};

// The value of the attribute, as setfacl(1) makes it.
std::string value_of(std::initializer_list<Entry> entries, uint32_t version = 2) {
  std::string value(reinterpret_cast<const char*>(&version), sizeof(version));
  for (const Entry& entry : entries) value.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  return value;
}

Result<PosixAcl> parse(const std::string& value) { return PosixAcl::parse(std::as_bytes(std::span(value))); }

std::string text(const PosixAcl& acl) {
  const auto value = acl.serialize();
  return {reinterpret_cast<const char*>(value.data()), value.size()};
}

// u::owner u:7:7 g::group m::mask o::others
std::string with_mask(uint16_t owner, uint16_t group, uint16_t mask, uint16_t others) {
  return value_of(
      {{ACL_USER_OBJ, owner}, {ACL_USER, 7, 7}, {ACL_GROUP_OBJ, group}, {ACL_MASK, mask}, {ACL_OTHER, others}});
}
std::string minimal(uint16_t owner, uint16_t group, uint16_t others) {
  return value_of({{ACL_USER_OBJ, owner}, {ACL_GROUP_OBJ, group}, {ACL_OTHER, others}});
}

TEST(PosixAcl, ValidListsComeBack) {
  const std::string all = value_of({{ACL_USER_OBJ, 7},
                                    {ACL_USER, 5, 1},
                                    {ACL_USER, 6, 2},
                                    {ACL_GROUP_OBJ, 4},
                                    {ACL_GROUP, 3, 1},
                                    {ACL_MASK, 7},
                                    {ACL_OTHER, 0}});
  for (const std::string& value : {all, minimal(7, 5, 4), with_mask(6, 4, 6, 0), value_of({})}) {
    const auto acl = parse(value);
    ASSERT_TRUE(acl.has_value());
    EXPECT_EQ(text(*acl), value);
  }
  EXPECT_TRUE(parse(value_of({}))->empty());
}

TEST(PosixAcl, MalformedListsAreRefused) {
  const std::string good = minimal(7, 5, 5);
  for (size_t length = 0; length < good.size(); ++length) {
    if (length != 4) {
      EXPECT_EQ(parse(good.substr(0, length)).error(), std::errc::invalid_argument) << length;
    }
  }
  EXPECT_EQ(parse(value_of({{ACL_USER_OBJ, 7}}, 3)).error(), std::errc::operation_not_supported);
  const std::initializer_list<Entry> bad[] = {
      {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}},                                                // nothing for others
      {{ACL_GROUP_OBJ, 5}, {ACL_USER_OBJ, 7}, {ACL_OTHER, 5}},                                // order
      {{ACL_USER_OBJ, 7}, {ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}},             // twice
      {{ACL_USER_OBJ, 8}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}},                                // no permission
      {{ACL_USER_OBJ, 7}, {ACL_USER, 5, 1}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}},              // no mask
      {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_GROUP, 5, 1}, {ACL_OTHER, 5}},             // no mask
      {{ACL_USER_OBJ, 7}, {ACL_GROUP, 5, 1}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}},             // order
      {{ACL_USER_OBJ, 7}, {ACL_USER, 5}, {ACL_GROUP_OBJ, 5}, {ACL_MASK, 7}, {ACL_OTHER, 5}},  // nobody
      {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}, {ACL_MASK, 7}},                 // order
      {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 5}, {ACL_OTHER, 5}, {3, 7}},                        // unknown
  };
  for (const auto& entries : bad) EXPECT_EQ(parse(value_of(entries)).error(), std::errc::invalid_argument);
}

TEST(PosixAcl, TheMaskIsTheGroupOfTheMode) {
  EXPECT_EQ(parse(minimal(6, 4, 1))->permissions(), 0641U);
  EXPECT_TRUE(parse(minimal(6, 4, 1))->is_minimal());
  EXPECT_EQ(parse(with_mask(6, 4, 7, 1))->permissions(), 0671U);
  EXPECT_FALSE(parse(with_mask(6, 4, 7, 1))->is_minimal());
  auto acl = *parse(with_mask(6, 4, 7, 1));
  acl.set_permissions(0152);
  EXPECT_EQ(text(acl), with_mask(1, 4, 5, 2));
  acl = *parse(minimal(6, 4, 1));
  acl.set_permissions(0152);
  EXPECT_EQ(text(acl), minimal(1, 5, 2));
}

TEST(PosixAcl, WhatIsInheritedGrantsNoMoreThanTheMode) {
  auto acl = *parse(with_mask(7, 5, 7, 4));
  acl.restrict_to(0640);
  EXPECT_EQ(text(acl), with_mask(6, 5, 4, 0));
  acl = *parse(minimal(5, 6, 7));
  acl.restrict_to(0666);
  EXPECT_EQ(text(acl), minimal(4, 6, 6));
}

TEST(PosixAcl, RandomBytesAreNoTrouble) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string value = value_of({});
    for (size_t n = random() % 6; n > 0; --n)
      value += value_of({{uint16_t(1U << random() % 6), uint16_t(random() % 8), uint32_t(random() % 3)}}).substr(4);
    auto acl = parse(value);
    if (!acl) continue;
    EXPECT_EQ(text(*acl), value);
    acl->restrict_to(uint32_t(random()));
    acl->set_permissions(0654);
    EXPECT_EQ(acl->permissions(), acl->empty() ? 0U : 0654U);
  }
}

TEST(Acls, AnAccessListSetsTheModeAndFollowsIt) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName).error(), kNoData);
  ASSERT_TRUE(rig.set_xattr(ino, PosixAcl::kAccessName, with_mask(7, 4, 6, 1)));
  EXPECT_EQ(rig.fs().getattr(ino)->mode, uint32_t(S_IFREG | 0761));
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName), with_mask(7, 4, 6, 1));
  EXPECT_EQ(rig.list_xattrs(ino), std::string(PosixAcl::kAccessName) + '\0');
  ASSERT_TRUE(
      rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kMode, .mode = 0520}); }));
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName), with_mask(5, 4, 2, 0));
  rig.attach();
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName), with_mask(5, 4, 2, 0));
  rig.expect_sound();
}

TEST(Acls, AListThatTheModeTellsIsNotKept) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  ASSERT_TRUE(rig.set_xattr(ino, PosixAcl::kAccessName, with_mask(7, 4, 6, 1)));
  ASSERT_TRUE(rig.set_xattr(ino, PosixAcl::kAccessName, minimal(6, 4, 0)));
  EXPECT_EQ(rig.fs().getattr(ino)->mode, uint32_t(S_IFREG | 0640));
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName).error(), kNoData);
  EXPECT_EQ(rig.list_xattrs(ino), "");
  rig.expect_sound();
}

TEST(Acls, RemovingOneThatIsNotThereSucceeds) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  rig.clock().advance(std::chrono::seconds(1));
  const Time before = rig.fs().getattr(ino)->ctime;
  EXPECT_TRUE(rig.remove_xattr(ino, PosixAcl::kAccessName));
  EXPECT_GT(rig.fs().getattr(ino)->ctime, before);
  ASSERT_TRUE(rig.set_xattr(ino, PosixAcl::kAccessName, with_mask(7, 4, 6, 1)));
  ASSERT_TRUE(rig.set_xattr(ino, PosixAcl::kAccessName, value_of({})));
  EXPECT_EQ(rig.get_xattr(ino, PosixAcl::kAccessName).error(), kNoData);
  EXPECT_EQ(rig.fs().getattr(ino)->mode, uint32_t(S_IFREG | 0761));
}

TEST(Acls, WhatIsNoListIsRefusedAndChangesNothing) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  const uint64_t link = rig.symlink(kRoot, "link", "file")->ino;
  EXPECT_EQ(rig.set_xattr(ino, PosixAcl::kAccessName, "nonsense").error(), std::errc::operation_not_supported);
  EXPECT_EQ(rig.set_xattr(ino, PosixAcl::kAccessName, value_of({{ACL_USER_OBJ, 7}})).error(),
            std::errc::invalid_argument);
  EXPECT_EQ(rig.set_xattr(ino, PosixAcl::kDefaultName, minimal(7, 5, 5)).error(), std::errc::permission_denied);
  EXPECT_EQ(rig.set_xattr(link, PosixAcl::kAccessName, minimal(7, 5, 5)).error(), std::errc::operation_not_supported);
  EXPECT_EQ(rig.fs().getattr(ino)->mode, uint32_t(S_IFREG | 0644));
  rig.expect_sound();
}

TEST(Acls, TheGroupBitGoesIfTheKernelSaysSoOrTheCallerIsAStranger) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;  // of user 1000, group 100
  const auto set = [&](std::optional<bool> kills_sgid) {
    const std::string value = minimal(7, 5, 5);
    rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kMode, .mode = 02755}); });
    EXPECT_TRUE(rig.run([&](Operation& op) {
      return rig.fs().set_xattr(
          op, ino, {.name = PosixAcl::kAccessName, .value = std::as_bytes(std::span(value)), .kills_sgid = kills_sgid});
    }));
    return (rig.fs().getattr(ino)->mode & S_ISGID) != 0;
  };
  EXPECT_TRUE(set(false));
  EXPECT_FALSE(set(true));
  EXPECT_TRUE(set(std::nullopt));
  rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kGid, .gid = 5}); });
  EXPECT_FALSE(set(std::nullopt));
}

TEST(Acls, NewFilesInheritTheDefaultListOfTheirDirectory) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  const std::string list = with_mask(7, 5, 7, 5);
  ASSERT_TRUE(rig.set_xattr(directory, PosixAcl::kDefaultName, list));
  EXPECT_EQ(rig.fs().getattr(directory)->mode, uint32_t(S_IFDIR | 0755));
  const auto make = [&](const char* name, uint32_t mode) {
    return rig.run([&](Operation& op) {
      op.set_umask(077);  // does not count here
      return S_ISDIR(mode) ? rig.fs().mkdir(op, directory, name, mode) : rig.fs().mknod(op, directory, name, mode, 0);
    });
  };
  const Attr file = *make("file", S_IFREG | 0666);
  EXPECT_EQ(file.mode, uint32_t(S_IFREG | 0664));
  EXPECT_EQ(rig.get_xattr(file.ino, PosixAcl::kAccessName), with_mask(6, 5, 6, 4));
  EXPECT_EQ(rig.get_xattr(file.ino, PosixAcl::kDefaultName).error(), kNoData);
  const Attr below = *make("below", S_IFDIR | 0750);
  EXPECT_EQ(below.mode, uint32_t(S_IFDIR | 0750));
  EXPECT_EQ(rig.get_xattr(below.ino, PosixAcl::kAccessName), with_mask(7, 5, 5, 0));
  EXPECT_EQ(rig.get_xattr(below.ino, PosixAcl::kDefaultName), list);
  EXPECT_EQ(rig.symlink(directory, "link", "x")->mode, uint32_t(S_IFLNK | 0777));
  EXPECT_EQ(rig.fs().files(), 5U);
  rig.attach();
  EXPECT_EQ(rig.get_xattr(below.ino, PosixAcl::kDefaultName), list);
  rig.expect_sound();
}

TEST(Acls, FilesWithoutANameAndWhiteoutsInheritToo) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  ASSERT_TRUE(rig.set_xattr(directory, PosixAcl::kDefaultName, with_mask(7, 5, 7, 5)));
  const Attr file = *rig.run([&](Operation& op) { return rig.fs().tmpfile(op, directory, 0666); });
  EXPECT_EQ(file.mode, uint32_t(S_IFREG | 0664));
  ASSERT_TRUE(rig.create(directory, "old"));
  ASSERT_TRUE(rig.rename(directory, "old", kRoot, "new", FileSystem::kRenameWhiteout));
  const Attr whiteout = *rig.lookup(directory, "old");
  EXPECT_EQ(whiteout.mode, uint32_t(S_IFCHR));
  rig.attach();
  EXPECT_EQ(rig.get_xattr(file.ino, PosixAcl::kAccessName), with_mask(6, 5, 6, 4));
  EXPECT_EQ(rig.get_xattr(whiteout.ino, PosixAcl::kAccessName), with_mask(0, 5, 0, 0));
  rig.expect_sound();
  rig.forget(file.ino);
  rig.expect_sound();
}

TEST(Acls, ADefaultListThatAModeTellsLeavesNoAccessList) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  ASSERT_TRUE(rig.set_xattr(directory, PosixAcl::kDefaultName, minimal(7, 5, 0)));
  const Attr file = *rig.create(directory, "file");
  EXPECT_EQ(file.mode, uint32_t(S_IFREG | 0640));
  EXPECT_EQ(rig.list_xattrs(file.ino), "");
  EXPECT_EQ(rig.list_xattrs(rig.mkdir(directory, "below")->ino), std::string(PosixAcl::kDefaultName) + '\0');
  rig.expect_sound();
}

TEST(Acls, ElsewhereTheUmaskCounts) {
  FsRig rig;
  const auto make = [&](const char* name, uint32_t mode) {
    return rig.run([&](Operation& op) {
      op.set_umask(027);
      return S_ISDIR(mode) ? rig.fs().mkdir(op, kRoot, name, mode) : rig.fs().mknod(op, kRoot, name, mode, 0);
    });
  };
  EXPECT_EQ(make("file", S_IFREG | 04666)->mode, uint32_t(S_IFREG | 04640));
  EXPECT_EQ(make("dir", S_IFDIR | 01777)->mode, uint32_t(S_IFDIR | 01750));
}

}  // namespace
}  // namespace ztmpfs
