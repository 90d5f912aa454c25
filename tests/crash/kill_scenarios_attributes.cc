// Attributes, lookup counts, and requests that fail.
#include "tests/crash/kill_scenarios.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/xattr.h>

namespace ztmpfs {

namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kBlock = KillScenario::kBlockSize;

fuse_setattr_in change(uint32_t valid) {
  fuse_setattr_in change{};
  change.valid = valid;
  return change;
}

// The smallest replies that hold so many entries of one letter each, "." and ".." first.
uint32_t room_for(uint32_t entries) {
  constexpr uint32_t kEntry = sizeof(fuse_direntplus) + 8;
  return (2 + entries) * kEntry;
}

const KillScenario kAttributes[] = {
    {"SetTheMode",
     [](FsRig& rig) {
       auto argument = change(FATTR_MODE);
       argument.mode = 0600;
       return setattr_request(file_in(rig, kRoot, "f"), argument);
     }},
    {"SetTheOwner",
     [](FsRig& rig) {
       auto argument = change(FATTR_UID | FATTR_GID | FATTR_KILL_SUIDGID);
       argument.uid = 7;
       argument.gid = 8;
       const uint64_t ino = file_in(rig, kRoot, "f");
       rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kMode, .mode = 06777}); });
       EXPECT_TRUE(rig.set_xattr(ino, "security.capability", "some"));
       return setattr_request(ino, argument);
     }},
    {"SetTheTimes",
     [](FsRig& rig) {
       auto argument = change(FATTR_ATIME | FATTR_MTIME | FATTR_MTIME_NOW);
       argument.atime = 12345;
       argument.atimensec = 678;
       return setattr_request(file_in(rig, kRoot, "f"), argument);
     }},
    {"SetSizeAndMode",
     [](FsRig& rig) {
       auto argument = change(FATTR_SIZE | FATTR_MODE);
       argument.size = 10;
       argument.mode = 0600;
       return setattr_request(file_in(rig, kRoot, "f", text(2 * kBlock)), argument);
     }},
    {"SetFlags",
     [](FsRig& rig) { return set_flags_request(file_in(rig, kRoot, "f"), FS_IMMUTABLE_FL | FS_NODUMP_FL); }},
    {"SetAnXattr", [](FsRig& rig) { return setxattr_request(file_in(rig, kRoot, "f"), "user.a", text(100)); }},
    {"ReplaceAnXattr",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f");
       EXPECT_TRUE(rig.set_xattr(ino, "user.a", text(3 * kBlock)));
       EXPECT_TRUE(rig.set_xattr(ino, "user.b", "other"));
       return setxattr_request(ino, "user.a", text(100), XATTR_REPLACE);
     }},
    {"RemoveAnXattr",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f");
       EXPECT_TRUE(rig.set_xattr(ino, "user.a", text(100)));
       EXPECT_TRUE(rig.set_xattr(ino, "user.b", "other"));
       return names_request(FUSE_REMOVEXATTR, ino, {"user.a"});
     }},
    {"RemoveTheLastXattr",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f");
       EXPECT_TRUE(rig.set_xattr(ino, "user.a", text(100)));
       return names_request(FUSE_REMOVEXATTR, ino, {"user.a"});
     }},
    {"SetAnAcl",
     [](FsRig& rig) { return setxattr_request(file_in(rig, kRoot, "f"), "system.posix_acl_access", some_acl()); }},
    {"WriteThatTakesACapability",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f");
       EXPECT_TRUE(rig.set_xattr(ino, "security.capability", "some"));
       return write_request(ino, 0, "x");
     }},
    {.name = "Readdirplus",
     .prepare =
         [](FsRig& rig) {
           for (const char* name : {"a", "b", "c"}) file_in(rig, kRoot, name);
           return readdirplus_request(kRoot, room_for(3));
         },
     .alternatives =
         [](const KillRequest&) {
           return std::vector{readdirplus_request(kRoot, room_for(1)), readdirplus_request(kRoot, room_for(2))};
         }},
};

const KillScenario kFailures[] = {
    {.name = "MkdirOfWhatIsThere",
     .prepare =
         [](FsRig& rig) {
           file_in(rig, kRoot, "f");
           return mkdir_request(kRoot, "f");
         },
     .error = EEXIST},
    {.name = "CreateExclusivelyOfWhatIsThere",
     .prepare =
         [](FsRig& rig) {
           file_in(rig, kRoot, "f");
           return create_request(kRoot, "f", O_CREAT | O_EXCL | O_RDWR);
         },
     .error = EEXIST},
    {.name = "UnlinkOfNothing",
     .prepare = [](FsRig&) { return names_request(FUSE_UNLINK, kRoot, {"nothing"}); },
     .error = ENOENT},
    {.name = "UnlinkOfADirectory",
     .prepare =
         [](FsRig& rig) {
           rig.mkdir(kRoot, "dir");
           return names_request(FUSE_UNLINK, kRoot, {"dir"});
         },
     .error = EISDIR},
    {.name = "RmdirOfWhatIsNotEmpty",
     .prepare =
         [](FsRig& rig) {
           file_in(rig, rig.mkdir(kRoot, "dir")->ino, "f");
           return names_request(FUSE_RMDIR, kRoot, {"dir"});
         },
     .error = ENOTEMPTY},
    {.name = "RenameNoReplaceOverAFile",
     .prepare =
         [](FsRig& rig) {
           file_in(rig, kRoot, "old");
           file_in(rig, kRoot, "new");
           return rename_request(kRoot, "old", kRoot, "new", FileSystem::kRenameNoReplace);
         },
     .error = EEXIST},
    {.name = "RenameIntoItself",
     .prepare =
         [](FsRig& rig) {
           const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
           return rename_request(kRoot, "dir", directory, "sub");
         },
     .error = EINVAL},
    {.name = "LinkInANamelessDirectory",
     .prepare =
         [](FsRig& rig) {
           const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
           EXPECT_TRUE(rig.rmdir(kRoot, "dir"));
           return link_request(file_in(rig, kRoot, "f"), directory, "new");
         },
     .error = ENOENT},
    {.name = "SetXattrThatHasToBeThere",
     .prepare = [](FsRig& rig) { return setxattr_request(file_in(rig, kRoot, "f"), "user.a", "1", XATTR_REPLACE); },
     .error = ENODATA},
    {.name = "SetXattrThatIsTooMuch",
     .prepare =
         [](FsRig& rig) {
           const uint64_t ino = file_in(rig, kRoot, "f");
           for (int i = 0; i < 15; ++i)
             EXPECT_TRUE(rig.set_xattr(ino, "user." + std::to_string(i), std::string(FileSystem::kXattrValueMax, 'x')));
           EXPECT_TRUE(rig.set_xattr(ino, "user.15", std::string(32 * kKiB, 'x')));
           rig.volume().settle();
           return setxattr_request(ino, "user.16", std::string(50 * kKiB, 'x'));
         },
     .error = ENOSPC},
    {.name = "WriteToWhatIsImmutable",
     .prepare =
         [](FsRig& rig) {
           const uint64_t ino = file_in(rig, kRoot, "f", text(100));
           rig.run([&](Operation& op) { return rig.fs().set_inode_flags(op, ino, FS_IMMUTABLE_FL); });
           return write_request(ino, 0, "x");
         },
     .error = EPERM},
    {.name = "CopyThatOverlaps",
     .prepare =
         [](FsRig& rig) {
           const uint64_t ino = file_in(rig, kRoot, "f", text(kBlock));
           return copy_request(ino, 0, ino, 100, kBlock);
         },
     .error = EINVAL},
    {.name = "TruncateOfADirectory",
     .prepare = [](FsRig& rig) { return truncate_request(rig.mkdir(kRoot, "dir")->ino, 0); },
     .error = EISDIR},
};

}  // namespace

uint64_t file_in(FsRig& rig, uint64_t parent, std::string_view name, std::string_view contents) {
  const uint64_t ino = rig.create(parent, name)->ino;
  for (size_t offset = 0; offset < contents.size(); offset += kBlock)
    rig.write(ino, offset, contents.substr(offset, kBlock));
  return ino;
}

std::span<const KillScenario> attributes() { return kAttributes; }
std::span<const KillScenario> failures() { return kFailures; }

}  // namespace ztmpfs
