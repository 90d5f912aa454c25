#include "fs/filesystem.h"

#include <gtest/gtest.h>
#include <linux/fs.h>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

TEST(FileSystem, AFileKeepsWhatIsWritten) {
  FsRig rig;
  const auto file = rig.create(kRoot, "file");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->mode, uint32_t(S_IFREG | 0644));
  EXPECT_EQ(file->uid, 1000U);
  EXPECT_EQ(rig.write(file->ino, 0, "hello"), 5U);
  EXPECT_EQ(rig.write(file->ino, 3, "p!"), 2U);
  EXPECT_EQ(rig.read(file->ino), "help!");
  EXPECT_EQ(rig.read(file->ino, 4, 10), "!");
  EXPECT_EQ(rig.read(file->ino, 5, 10), "");
  const auto attr = rig.fs().getattr(file->ino);
  EXPECT_EQ(attr->size, 5U);
  EXPECT_GE(attr->blocks, 1U);
  rig.expect_sound();
}

TEST(FileSystem, HolesReadAsZerosAndCostNothing) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "sparse")->ino;
  const uint64_t far = INT64_MAX - 10;
  EXPECT_EQ(rig.write(ino, far, "end"), 3U);
  EXPECT_EQ(rig.fs().getattr(ino)->size, far + 3);
  EXPECT_EQ(rig.read(ino, far - 2, 10), std::string("\0\0end", 5));
  EXPECT_EQ(rig.read(ino, 1'000'000, 4), std::string(4, '\0'));
  EXPECT_LT(rig.volume().store().stored_bytes(ino_index(ino)), 128 * kKiB);
  EXPECT_EQ(rig.write(ino, INT64_MAX - 1, "xyz").error(), std::errc::file_too_large);
  EXPECT_EQ(rig.truncate(ino, uint64_t(INT64_MAX) + 1).error(), std::errc::file_too_large);
}

TEST(FileSystem, CutAndExtendedFilesShowZeros) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  const std::string text(100'000, 'x');
  for (const bool sealed : {false, true}) {
    rig.write(ino, 0, text);
    if (sealed) rig.volume().settle();
    EXPECT_EQ(rig.truncate(ino, 10)->size, 10U);
    EXPECT_EQ(rig.truncate(ino, 50'000)->size, 50'000U);
    EXPECT_EQ(rig.read(ino), std::string(10, 'x') + std::string(49'990, '\0'));
    rig.expect_sound();
  }
}

TEST(FileSystem, TruncationLeavesNothingBehindEvenWhenItTakesSteps) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "large")->ino;
  const std::string text(1 << 17, 'y');
  for (uint64_t offset = 0; offset < 16 * kMiB; offset += text.size()) rig.write(ino, offset, text);
  ASSERT_EQ(rig.truncate(ino, 5)->size, 5U);
  EXPECT_EQ(rig.truncate(ino, 15 * kMiB)->size, 15 * kMiB);
  EXPECT_EQ(rig.read(ino, 10 * kMiB, 100), std::string(100, '\0'));
  EXPECT_EQ(rig.read(ino, 0, 7), std::string("yyyyy\0\0", 7));
  rig.volume().settle();
  EXPECT_LT(rig.volume().stats().store.orig_data_size, kMiB);
  rig.expect_sound();
}

TEST(FileSystem, TruncatingToTheSameSizeChangesTheTimesUnlessItIsByNameAndThereIsNothing) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "stamp")->ino;
  const auto changes = [&](uint64_t size, uint32_t flags = 0) {
    const Time before = rig.fs().getattr(ino)->mtime;
    rig.clock().advance(std::chrono::seconds(1));
    const SetAttr change{.fields = SetAttr::kSize | flags, .size = size};
    const auto attr = rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, change); });
    EXPECT_EQ(attr->mtime, attr->ctime);
    EXPECT_EQ(attr->mtime, rig.fs().getattr(ino)->mtime);
    return attr->mtime > before;
  };
  EXPECT_TRUE(changes(0)) << "it may be open(2) with O_TRUNC";
  EXPECT_TRUE(changes(9));
  EXPECT_FALSE(changes(9));
  EXPECT_TRUE(changes(9, SetAttr::kByDescriptor));
  rig.write(ino, 0, "x");
  EXPECT_TRUE(changes(9)) << "tmpfs drops pages behind the end, if there are any";
}

TEST(FileSystem, NamesAreCheckedAsPosixAsks) {
  FsRig rig;
  const std::string longest(255, 'n');
  EXPECT_TRUE(rig.create(kRoot, longest).has_value());
  EXPECT_TRUE(rig.lookup(kRoot, longest).has_value());
  const std::string too_long(256, 'n');
  EXPECT_EQ(rig.create(kRoot, too_long).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.lookup(kRoot, too_long).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.mkdir(kRoot, too_long).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.unlink(kRoot, too_long).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.rename(kRoot, longest, kRoot, too_long).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.symlink(kRoot, "s", std::string(4096, 't')).error(), std::errc::filename_too_long);
  EXPECT_EQ(rig.create(kRoot, "a/b").error(), std::errc::invalid_argument);
  EXPECT_EQ(rig.lookup(kRoot, "missing").error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(rig.lookup(999, "x").error(), std::errc(ESTALE));
  rig.expect_sound();
}

TEST(FileSystem, ErrorsOfDirectoriesAndFilesDiffer) {
  FsRig rig;
  const uint64_t file = rig.create(kRoot, "file")->ino;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  rig.create(directory, "child");
  EXPECT_EQ(rig.create(kRoot, "file", true).error(), std::errc::file_exists);
  EXPECT_EQ(rig.create(kRoot, "file")->ino, file);
  EXPECT_EQ(rig.mkdir(kRoot, "file").error(), std::errc::file_exists);
  EXPECT_EQ(rig.unlink(kRoot, "dir").error(), std::errc::is_a_directory);
  EXPECT_EQ(rig.rmdir(kRoot, "file").error(), std::errc::not_a_directory);
  EXPECT_EQ(rig.rmdir(kRoot, "dir").error(), std::errc::directory_not_empty);
  EXPECT_EQ(rig.lookup(file, "x").error(), std::errc::not_a_directory);
  EXPECT_EQ(rig.link(directory, kRoot, "hard").error(), std::errc::operation_not_permitted);
  EXPECT_EQ(rig.truncate(directory, 0).error(), std::errc::is_a_directory);
  EXPECT_EQ(rig.write(directory, 0, "x").error(), std::errc::is_a_directory);
  EXPECT_EQ(rig.fs().readlink(file).error(), std::errc::invalid_argument);
  rig.expect_sound();
}

TEST(FileSystem, LinkCountsAndSizesOfDirectoriesAreThoseOfTmpfs) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  rig.mkdir(directory, "sub");
  rig.create(directory, "file");
  EXPECT_EQ(rig.fs().getattr(directory)->nlink, 3U);
  EXPECT_EQ(rig.fs().getattr(directory)->size, 80U);
  EXPECT_EQ(rig.fs().getattr(kRoot)->nlink, 3U);
  EXPECT_TRUE(rig.rename(directory, "sub", kRoot, "sub").has_value());
  EXPECT_EQ(rig.fs().getattr(directory)->nlink, 2U);
  EXPECT_EQ(rig.fs().getattr(kRoot)->nlink, 4U);
  EXPECT_TRUE(rig.rmdir(kRoot, "sub").has_value());
  EXPECT_EQ(rig.fs().getattr(kRoot)->nlink, 3U);
  rig.expect_sound();
}

TEST(FileSystem, UnlinkedFilesLiveUntilTheyAreForgotten) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  rig.write(ino, 0, "still here");
  const uint64_t files = rig.fs().files();
  EXPECT_TRUE(rig.unlink(kRoot, "file").has_value());
  EXPECT_EQ(rig.fs().getattr(ino)->nlink, 0U);
  EXPECT_EQ(rig.read(ino), "still here");
  rig.attach();
  EXPECT_EQ(rig.read(ino), "still here");
  rig.forget(ino);
  EXPECT_EQ(rig.fs().getattr(ino).error(), std::errc(ESTALE));
  EXPECT_EQ(rig.fs().files(), files - 1);
  rig.expect_sound();
}

TEST(FileSystem, InodeNumbersAreNeverUsedAgain) {
  FsRig rig;
  std::vector<uint64_t> seen;
  for (int round = 0; round < 3; ++round) {
    std::vector<uint64_t> inodes;
    for (int i = 0; i < 2000; ++i) inodes.push_back(rig.create(kRoot, "f" + std::to_string(i))->ino);
    for (int i = 0; i < 2000; ++i) rig.unlink(kRoot, "f" + std::to_string(i));
    for (const uint64_t ino : inodes) rig.forget(ino);
    seen.insert(seen.end(), inodes.begin(), inodes.end());
    if (round == 1) rig.attach();
  }
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
  rig.expect_sound();
}

TEST(FileSystem, ReaddirTellsEachEntryOnceWhileOthersChange) {
  FsRig rig;
  for (int i = 0; i < 200; ++i) rig.create(kRoot, "keep" + std::to_string(i));
  std::map<std::string, int> seen;
  uint64_t cookie = 0;
  for (int round = 0; cookie != UINT64_MAX; ++round) {
    int room = 7;
    uint64_t last = UINT64_MAX;
    EXPECT_TRUE(rig.fs().readdir(kRoot, cookie, [&](const DirectoryEntry& entry) {
      if (room-- == 0) return false;
      ++seen[std::string(entry.name)];
      last = entry.cookie;
      return true;
    }));
    cookie = last;
    if (round < 50) rig.create(kRoot, "new" + std::to_string(round));
    if (round > 3) rig.unlink(kRoot, "new" + std::to_string(round - 3));
    if (round == 5) rig.attach();
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(seen["keep" + std::to_string(i)], 1);
  EXPECT_EQ(seen["."], 1);
  EXPECT_EQ(seen[".."], 1);
}

TEST(FileSystem, ReaddirplusCountsALookupForEachEntryItTells) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  const uint64_t ino = rig.create(directory, "file")->ino;
  rig.unlink(directory, "nothing");
  const auto used = rig.run([&](Operation& op) {
    return rig.fs().readdirplus(op, directory, 0, [](const DirectoryEntry&, const Attr&) { return size_t(10); });
  });
  EXPECT_EQ(used, 30U);
  rig.unlink(directory, "file");
  rig.forget(ino);
  EXPECT_TRUE(rig.fs().getattr(ino).has_value());
  rig.forget(ino);
  EXPECT_FALSE(rig.fs().getattr(ino).has_value());
}

TEST(FileSystem, RenameFollowsItsManPage) {
  FsRig rig;
  const uint64_t a = rig.mkdir(kRoot, "a")->ino;
  const uint64_t b = rig.mkdir(a, "b")->ino;
  const uint64_t f = rig.create(kRoot, "f")->ino;
  const uint64_t g = rig.create(b, "g")->ino;
  EXPECT_EQ(rig.rename(kRoot, "a", b, "x").error(), std::errc::invalid_argument);
  EXPECT_EQ(rig.rename(b, "g", kRoot, "a").error(), std::errc::directory_not_empty) << "the target is an ancestor";
  EXPECT_EQ(rig.rename(kRoot, "f", kRoot, "a").error(), std::errc::is_a_directory);
  EXPECT_EQ(rig.rename(a, "b", kRoot, "f").error(), std::errc::not_a_directory);
  EXPECT_EQ(rig.rename(b, "g", kRoot, "f", FileSystem::kRenameNoReplace).error(), std::errc::file_exists);
  EXPECT_EQ(rig.rename(b, "none", kRoot, "f").error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(rig.rename(b, "g", kRoot, "none", FileSystem::kRenameExchange).error(),
            std::errc::no_such_file_or_directory);
  EXPECT_EQ(rig.rename(b, "g", kRoot, "h", 1 << 3).error(), std::errc::invalid_argument);
  for (const uint32_t other : {FileSystem::kRenameNoReplace, FileSystem::kRenameWhiteout})
    EXPECT_EQ(rig.rename(b, "g", kRoot, "f", FileSystem::kRenameExchange | other).error(), std::errc::invalid_argument);
  EXPECT_TRUE(rig.rename(b, "g", kRoot, "f", FileSystem::kRenameExchange).has_value());
  EXPECT_EQ(rig.lookup(kRoot, "f")->ino, g);
  EXPECT_EQ(rig.lookup(b, "g")->ino, f);
  EXPECT_TRUE(rig.rename(kRoot, "f", b, "g").has_value());
  EXPECT_EQ(rig.lookup(b, "g")->ino, g);
  EXPECT_EQ(rig.fs().getattr(f)->nlink, 0U);
  rig.mkdir(kRoot, "full");
  rig.create(rig.lookup(kRoot, "full")->ino, "x");
  EXPECT_EQ(rig.rename(a, "b", kRoot, "full").error(), std::errc::directory_not_empty);
  rig.link(g, b, "g2");
  EXPECT_TRUE(rig.rename(b, "g", b, "g2").has_value());
  EXPECT_TRUE(rig.lookup(b, "g").has_value()) << "two names of one inode: both stay";
  rig.expect_sound();
}

TEST(FileSystem, RenameCanLeaveAWhiteout) {
  FsRig rig;
  const uint64_t from = rig.mkdir(kRoot, "from")->ino;
  const uint64_t to = rig.mkdir(kRoot, "to")->ino;
  const auto expect_whiteout = [&](std::string_view name) {
    const auto whiteout = rig.lookup(from, name);
    ASSERT_TRUE(whiteout.has_value());
    EXPECT_EQ(whiteout->mode, uint32_t(S_IFCHR));
    EXPECT_EQ(whiteout->rdev, 0U);
    EXPECT_EQ(whiteout->nlink, 1U);
    EXPECT_EQ(whiteout->uid, 1000U);
    rig.expect_sound();
  };
  const uint64_t directory = rig.mkdir(from, "directory")->ino;
  rig.create(from, "file");
  rig.create(to, "victim");
  constexpr uint32_t kWhiteout = FileSystem::kRenameWhiteout;
  EXPECT_EQ(rig.rename(from, "file", to, "victim", kWhiteout | FileSystem::kRenameNoReplace).error(),
            std::errc::file_exists);
  EXPECT_TRUE(rig.rename(from, "directory", to, "directory", kWhiteout).has_value());
  expect_whiteout("directory");
  EXPECT_EQ(rig.fs().getattr(from)->nlink, 2U);
  EXPECT_EQ(rig.fs().getattr(to)->nlink, 3U);
  EXPECT_EQ(rig.lookup(directory, "..")->ino, to);
  EXPECT_TRUE(rig.rename(from, "file", to, "victim", kWhiteout).has_value());
  expect_whiteout("file");
  EXPECT_TRUE(rig.rename(from, "file", from, "other", kWhiteout | FileSystem::kRenameNoReplace).has_value());
  expect_whiteout("file");
  expect_whiteout("other");
  rig.attach();
  EXPECT_EQ(rig.list(from), (std::vector<std::string>{".", "..", "directory", "file", "other"}));
  rig.expect_sound();
}

TEST(FileSystem, RootMayDoAllButExecuteWhatNobodyMay) {
  FsRig rig;
  const uint64_t file = rig.create(kRoot, "file")->ino;  // 0644, of user 1000 and group 100
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  const auto may = [&](uint64_t ino, Caller caller, uint32_t mask) {
    return rig.fs().access(ino, caller, mask).has_value();
  };
  EXPECT_TRUE(may(file, {0, 0}, R_OK | W_OK));
  EXPECT_EQ(rig.fs().access(file, {0, 0}, X_OK).error(), std::errc::permission_denied);
  EXPECT_TRUE(may(directory, {0, 0}, R_OK | W_OK | X_OK));
  EXPECT_TRUE(may(file, {1000, 0}, R_OK | W_OK));
  EXPECT_FALSE(may(file, {1001, 100}, W_OK));
  EXPECT_TRUE(may(file, {1001, 100}, R_OK));
  EXPECT_FALSE(may(file, {1001, 1}, W_OK));
  rig.run([&](Operation& op) { return rig.fs().setattr(op, file, {.fields = SetAttr::kMode, .mode = 0611}); });
  EXPECT_TRUE(may(file, {0, 0}, X_OK));
  EXPECT_FALSE(may(file, {1000, 0}, X_OK)) << "the owner's bits count for the owner";
}

TEST(FileSystem, AFileWithoutANameLivesAsLongAsItsLookup) {
  FsRig rig;
  const uint64_t files = rig.fs().files();
  const Attr root = *rig.fs().getattr(kRoot);
  rig.clock().advance(std::chrono::seconds(1));
  const auto file = rig.tmpfile(kRoot);
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->nlink, 0U);
  EXPECT_EQ(rig.fs().getattr(kRoot)->mtime, root.mtime) << "a directory does not see it";
  rig.write(file->ino, 0, "text");
  rig.attach();
  EXPECT_EQ(rig.read(file->ino), "text");
  rig.expect_sound();
  rig.forget(file->ino);
  EXPECT_EQ(rig.fs().getattr(file->ino).error(), std::errc(ESTALE));
  EXPECT_EQ(rig.fs().files(), files);
  rig.expect_sound();
}

TEST(FileSystem, AFileWithoutANameCanGetOne) {
  FsRig rig;
  const uint64_t ino = rig.tmpfile(kRoot)->ino;
  rig.write(ino, 0, "text");
  EXPECT_EQ(rig.link(ino, kRoot, "name")->nlink, 1U);
  rig.forget(ino, 2);
  rig.attach();
  EXPECT_EQ(rig.lookup(kRoot, "name")->ino, ino);
  EXPECT_EQ(rig.read(ino), "text");
  rig.expect_sound();
}

TEST(FileSystem, FilesWithoutNamesAreMadeInDirectoriesThatAreThere) {
  FsRig rig;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  EXPECT_TRUE(rig.rmdir(kRoot, "dir").has_value());
  EXPECT_EQ(rig.tmpfile(directory).error(), std::errc::no_such_file_or_directory);
  EXPECT_EQ(rig.tmpfile(rig.create(kRoot, "file")->ino).error(), std::errc::not_a_directory);
  rig.expect_sound();
}

TEST(FileSystem, AnImmutableFileStaysAsItIs) {
  FsRig rig;
  constexpr std::errc kForbidden = std::errc::operation_not_permitted;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  rig.create(kRoot, "other");
  rig.write(ino, 0, "text");
  const auto set = [&](uint32_t flags) {
    return rig.run([&](Operation& op) { return rig.fs().set_inode_flags(op, ino, flags); });
  };
  EXPECT_TRUE(set(FS_IMMUTABLE_FL).has_value());
  rig.attach();
  EXPECT_EQ(rig.fs().inode_flags(ino), uint32_t(FS_IMMUTABLE_FL));
  EXPECT_EQ(rig.write(ino, 4, "x").error(), kForbidden);
  EXPECT_EQ(rig.truncate(ino, 4).error(), kForbidden);
  const auto chmod = [&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kMode}); };
  EXPECT_EQ(rig.run(chmod).error(), kForbidden);
  EXPECT_EQ(rig.link(ino, kRoot, "link").error(), kForbidden);
  EXPECT_EQ(rig.rename(kRoot, "file", kRoot, "new").error(), kForbidden);
  EXPECT_EQ(rig.rename(kRoot, "other", kRoot, "file").error(), kForbidden);
  EXPECT_EQ(rig.rename(kRoot, "other", kRoot, "file", FileSystem::kRenameExchange).error(), kForbidden);
  EXPECT_EQ(rig.unlink(kRoot, "file").error(), kForbidden);
  EXPECT_EQ(rig.read(ino), "text");
  EXPECT_EQ(set(FS_COMPR_FL).error(), std::errc::operation_not_supported);
  EXPECT_TRUE(set(0).has_value());
  EXPECT_TRUE(rig.unlink(kRoot, "file").has_value());
  rig.expect_sound();
}

TEST(FileSystem, AnAppendOnlyFileGrowsAtItsEnd) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "log")->ino;
  rig.write(ino, 0, "text");
  rig.run([&](Operation& op) { return rig.fs().set_inode_flags(op, ino, FS_APPEND_FL); });
  EXPECT_EQ(rig.write(ino, 4, " and more"), 9U);
  EXPECT_EQ(rig.write(ino, 0, "T").error(), std::errc::operation_not_permitted);
  EXPECT_EQ(rig.truncate(ino, 100).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(rig.unlink(kRoot, "log").error(), std::errc::operation_not_permitted);
  const auto touch = [&](uint32_t fields) {
    return rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = fields}); });
  };
  EXPECT_TRUE(touch(SetAttr::kAtimeNow | SetAttr::kMtimeNow).has_value());
  EXPECT_EQ(touch(SetAttr::kAtimeNow).error(), std::errc::operation_not_permitted);
  EXPECT_EQ(rig.read(ino), "text and more");
  rig.expect_sound();
}

TEST(FileSystem, FlagsOfADirectoryCoverItsNames) {
  FsRig rig;
  constexpr std::errc kForbidden = std::errc::operation_not_permitted;
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  const uint64_t child = rig.create(directory, "child")->ino;
  const auto set = [&](uint32_t flags) {
    rig.run([&](Operation& op) { return rig.fs().set_inode_flags(op, directory, flags); });
  };
  set(FS_APPEND_FL | FS_NODUMP_FL);
  const auto made = rig.create(directory, "made");
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(rig.fs().inode_flags(made->ino), uint32_t(FS_NODUMP_FL)) << "nodump is inherited";
  EXPECT_EQ(rig.unlink(directory, "made").error(), kForbidden);
  set(FS_IMMUTABLE_FL);
  EXPECT_EQ(rig.mkdir(directory, "sub").error(), kForbidden);
  EXPECT_EQ(rig.link(child, directory, "link").error(), kForbidden);
  EXPECT_EQ(rig.tmpfile(directory).error(), kForbidden);
  EXPECT_EQ(rig.rename(directory, "child", kRoot, "child").error(), kForbidden);
  EXPECT_EQ(rig.create(directory, "child", true).error(), std::errc::file_exists);
  EXPECT_EQ(rig.write(child, 0, "x"), 1U);
  rig.expect_sound();
}

TEST(FileSystem, AtTheCapNamesFailAndDeletingWorks) {
  FsRig rig(4 * kMiB);
  int made = 0;
  while (made < 100'000 && rig.create(kRoot, "f" + std::to_string(made)).has_value()) ++made;
  EXPECT_GT(made, 1000);
  EXPECT_LT(made, 100'000);
  EXPECT_EQ(rig.mkdir(kRoot, "d").error(), std::errc::no_space_on_device);
  for (int i = 0; i < made; ++i) {
    const uint64_t ino = rig.lookup(kRoot, "f" + std::to_string(i))->ino;
    EXPECT_TRUE(rig.unlink(kRoot, "f" + std::to_string(i)).has_value());
    rig.forget(ino, 2);
  }
  EXPECT_EQ(rig.fs().files(), 1U);
  EXPECT_TRUE(rig.create(kRoot, "again").has_value());
  rig.expect_sound();
}

TEST(FileSystem, SymlinksDevicesAndGroupsComeBackAsTheyWere) {
  FsRig rig;
  const auto symlink = rig.symlink(kRoot, "link", "../target");
  EXPECT_EQ(rig.fs().readlink(symlink->ino), "../target");
  EXPECT_EQ(symlink->size, 9U);
  const auto device = rig.run([&](Operation& op) { return rig.fs().mknod(op, kRoot, "null", S_IFCHR | 0666, 0x103); });
  EXPECT_EQ(device->rdev, 0x103U);
  const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
  rig.run([&](Operation& op) {
    return rig.fs().setattr(op, directory, {.fields = SetAttr::kMode | SetAttr::kGid, .mode = 02770, .gid = 42});
  });
  EXPECT_EQ(rig.create(directory, "f")->gid, 42U);
  EXPECT_EQ(rig.mkdir(directory, "d")->mode & 07777, 02755U);
  rig.attach();
  EXPECT_EQ(rig.fs().readlink(symlink->ino), "../target");
  EXPECT_EQ(rig.list(directory), (std::vector<std::string>{".", "..", "f", "d"}));
  rig.expect_sound();
}

TEST(FileSystem, ACommittedIntentIsCompletedAtAttach) {
  FsRig rig;
  const uint64_t ino = rig.create(kRoot, "file")->ino;
  Operation op = rig.operation(1);
  ASSERT_TRUE(rig.fs().rename(op, kRoot, "file", kRoot, "renamed", 0).has_value());
  // As if the process had died between the commit and the stores: undone here, to be redone from the intent.
  RequestRecord& record = request_record(rig.volume().image(), 1);
  for (size_t i = 0; i < record.intent.count; ++i) {
    const auto& store = record.intent.stores[i];
    std::byte* field = rig.volume().image().meta().base() + store.offset();
    ASSERT_EQ(std::memcmp(field, &store.value, store.width()), 0);
    std::memset(field, 0x55, store.width());
  }
  record.intent.state = IntentRecord::kCommitted;
  rig.attach();
  EXPECT_EQ(rig.lookup(kRoot, "renamed")->ino, ino);
  EXPECT_FALSE(rig.lookup(kRoot, "file").has_value());
  rig.expect_sound();
}

}  // namespace
}  // namespace ztmpfs
