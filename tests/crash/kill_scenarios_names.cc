// Names that come and go.
#include "tests/crash/kill_scenarios.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace ztmpfs {

namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kBlock = KillScenario::kBlockSize;

const KillScenario kNamesThatCome[] = {
    {"Mknod", [](FsRig&) { return mknod_request(kRoot, "new", S_IFREG | 0640); }},
    {"MknodFifo", [](FsRig&) { return mknod_request(kRoot, "new", S_IFIFO | 0640); }},
    {"MknodSocket", [](FsRig&) { return mknod_request(kRoot, "new", S_IFSOCK | 0640); }},
    {"MknodCharacterDevice", [](FsRig&) { return mknod_request(kRoot, "new", S_IFCHR | 0640, 0x103); }},
    {"MknodBlockDevice", [](FsRig&) { return mknod_request(kRoot, "new", S_IFBLK | 0640, 0x800); }},
    {"MknodOfALongName", [](FsRig&) { return mknod_request(kRoot, std::string(255, 'n'), S_IFREG | 0640); }},
    {"MknodWithADefaultAcl",
     [](FsRig& rig) {
       const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
       EXPECT_TRUE(rig.set_xattr(directory, "system.posix_acl_default", some_acl()));
       return mknod_request(directory, "new", S_IFREG | 0660);
     }},
    {"MknodOnARecordThatWasUsed",
     [](FsRig& rig) {
       const uint64_t old = file_in(rig, kRoot, "old", text(kBlock));
       EXPECT_TRUE(rig.unlink(kRoot, "old"));
       rig.forget(old);
       return mknod_request(kRoot, "new", S_IFREG | 0640);
     }},
    {"Create", [](FsRig&) { return create_request(kRoot, "new"); }},
    {"CreateOfWhatIsThere",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return create_request(kRoot, "old");
     }},
    {"Tmpfile", [](FsRig&) { return tmpfile_request(kRoot); }},
    {"Mkdir", [](FsRig&) { return mkdir_request(kRoot, "new"); }},
    {"MkdirWithADefaultAcl",
     [](FsRig& rig) {
       const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
       EXPECT_TRUE(rig.set_xattr(directory, "system.posix_acl_default", some_acl()));
       return mkdir_request(directory, "new");
     }},
    {"Symlink", [](FsRig&) { return names_request(FUSE_SYMLINK, kRoot, {"new", "target"}); }},
    {"SymlinkToALongTarget", [](FsRig&) { return names_request(FUSE_SYMLINK, kRoot, {"new", text(4000)}); }},
    {"Link", [](FsRig& rig) { return link_request(file_in(rig, kRoot, "old"), kRoot, "new"); }},
    {"LinkOfATmpfile", [](FsRig& rig) { return link_request(rig.tmpfile(kRoot)->ino, kRoot, "new"); }},
    {"Lookup",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return names_request(FUSE_LOOKUP, kRoot, {"old"});
     }},
    {"LookupOfNothing", [](FsRig&) { return names_request(FUSE_LOOKUP, kRoot, {"nothing"}); }},
};

const KillScenario kNamesThatGo[] = {
    {"Unlink",
     [](FsRig& rig) {
       rig.forget(file_in(rig, kRoot, "old", text(3 * kBlock)));
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfWhatIsLookedUp",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old", text(kBlock));
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfOneOfTwo",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "old", text(kBlock));
       EXPECT_TRUE(rig.link(ino, kRoot, "other"));
       rig.forget(ino, 2);
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfAFileWithXattrs",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "old", text(kBlock));
       EXPECT_TRUE(rig.set_xattr(ino, "user.a", "1"));
       rig.forget(ino);
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfALargeFile",
     [](FsRig& rig) {
       rig.forget(file_in(rig, kRoot, "old", std::string(3 * kMiB / 2, 'x')));
       rig.volume().settle();
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfASymlink",
     [](FsRig& rig) {
       rig.forget(rig.symlink(kRoot, "old", "target")->ino);
       return names_request(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"Rmdir",
     [](FsRig& rig) {
       rig.forget(rig.mkdir(kRoot, "old")->ino);
       return names_request(FUSE_RMDIR, kRoot, {"old"});
     }},
    {"RmdirOfWhatIsLookedUp",
     [](FsRig& rig) {
       rig.mkdir(kRoot, "old");
       return names_request(FUSE_RMDIR, kRoot, {"old"});
     }},
    {.name = "Forget",
     .prepare =
         [](FsRig& rig) {
           const uint64_t ino = file_in(rig, kRoot, "old", text(kBlock));
           EXPECT_TRUE(rig.unlink(kRoot, "old"));
           return KillRequest{FUSE_FORGET, ino, make_argument(fuse_forget_in{.nlookup = 1})};
         },
     .is_answered = false},
    {.name = "BatchForget",
     .prepare =
         [](FsRig& rig) {
           const uint64_t gone = file_in(rig, kRoot, "gone", text(2 * kBlock));
           const uint64_t stays = file_in(rig, kRoot, "stays");
           const uint64_t twice = file_in(rig, kRoot, "twice");
           EXPECT_TRUE(rig.lookup(kRoot, "twice"));
           EXPECT_TRUE(rig.unlink(kRoot, "gone"));
           return batch_forget_request({{gone, 1}, {stays, 1}, {twice, 1}});
         },
     .is_answered = false},
};

const KillScenario kRenames[] = {
    {"RenameToANewName",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return rename_request(kRoot, "old", kRoot, "new");
     }},
    {"RenameOverAFile",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old", "of the old");
       rig.forget(file_in(rig, kRoot, "new", text(2 * kBlock)));
       return rename_request(kRoot, "old", kRoot, "new");
     }},
    {"RenameOverAFileThatIsLookedUp",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old", "of the old");
       file_in(rig, kRoot, "new", "of the new");
       return rename_request(kRoot, "old", kRoot, "new");
     }},
    {"RenameOverAFileOfAnotherDirectory",
     [](FsRig& rig) {
       const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
       file_in(rig, kRoot, "old");
       rig.forget(file_in(rig, directory, "new"));
       return rename_request(kRoot, "old", directory, "new");
     }},
    {"RenameOverAnEmptyDirectory",
     [](FsRig& rig) {
       rig.mkdir(kRoot, "old");
       rig.forget(rig.mkdir(kRoot, "new")->ino);
       return rename_request(kRoot, "old", kRoot, "new");
     }},
    {"RenameToTheSameInode",
     [](FsRig& rig) {
       EXPECT_TRUE(rig.link(file_in(rig, kRoot, "old"), kRoot, "new"));
       return rename_request(kRoot, "old", kRoot, "new");
     }},
    {"RenameOfADirectoryToAnotherParent",
     [](FsRig& rig) {
       const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
       file_in(rig, rig.mkdir(kRoot, "old")->ino, "child");
       return rename_request(kRoot, "old", directory, "new");
     }},
    {"RenameNoReplace",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return rename_request(kRoot, "old", kRoot, "new", FileSystem::kRenameNoReplace);
     }},
    {"RenameExchange",
     [](FsRig& rig) {
       const uint64_t directory = rig.mkdir(kRoot, "dir")->ino;
       file_in(rig, kRoot, "old");
       rig.mkdir(directory, "new");
       return rename_request(kRoot, "old", directory, "new", FileSystem::kRenameExchange);
     }},
    {"RenameWhiteout",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return rename_request(kRoot, "old", kRoot, "new", FileSystem::kRenameWhiteout);
     }},
    {"RenameWhiteoutOverAFile",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       rig.forget(file_in(rig, kRoot, "new", text(kBlock)));
       return rename_request(kRoot, "old", kRoot, "new", FileSystem::kRenameWhiteout);
     }},
};

}  // namespace

std::span<const KillScenario> names_that_come() { return kNamesThatCome; }
std::span<const KillScenario> names_that_go() { return kNamesThatGo; }
std::span<const KillScenario> renames() { return kRenames; }

}  // namespace ztmpfs
