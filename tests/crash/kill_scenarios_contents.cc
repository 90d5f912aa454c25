// Contents of files.
#include "tests/crash/kill_scenarios.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>

namespace ztmpfs {

namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kBlock = KillScenario::kBlockSize;

constexpr uint32_t kPunch = FileSystem::kPunchHole | FileSystem::kKeepSize;

const KillScenario kWrites[] = {
    {"WriteToAnEmptyFile", [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f"), 0, text(100)); }},
    {"WriteOverAnOpenBlock",
     [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f", text(5000)), 1000, text(2000, 2)); }},
    {"WriteOverASealedBlock",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(kBlock));
       rig.volume().settle();
       return write_request(ino, 1000, text(2000, 2));
     }},
    {"WriteOverASameFilledBlock",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", std::string(kBlock, 'x'));
       rig.volume().settle();
       return write_request(ino, 1000, text(2000, 2));
     }},
    {"WriteBehindTheEndOfTheBlock",
     [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f", text(100)), 100, text(6000, 2)); }},
    {"WriteToManyBlocks",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(3 * kBlock));
       rig.volume().settle();
       return write_request(ino, kBlock / 2, text(4 * kBlock, 2));
     }},
    {"WriteFarBehindTheEnd",
     [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f", text(100)), 1'000'000, text(3000, 2)); }},
    {"WriteThatTakesPrivileges",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(100));
       rig.run([&](Operation& op) { return rig.fs().setattr(op, ino, {.fields = SetAttr::kMode, .mode = 06777}); });
       return write_request(ino, 0, "x", FUSE_WRITE_KILL_SUIDGID);
     }},
    {"WriteToWhatIsReserved",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f");
       EXPECT_TRUE(rig.fallocate(ino, 0, 0, 2 * kBlock));
       return write_request(ino, kBlock - 100, text(200));
     }},
    {"WriteAfterACutThatIsNotDone",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", std::string(3 * kMiB, 'x'));
       rig.volume().settle();
       EXPECT_TRUE(rig.truncate(ino, 10));
       return write_request(ino, 2 * kMiB, text(100));
     }},
    {.name = "WriteThatIsCutAtTheCap",
     .prepare = [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f"), 0, text(5 * kBlock)); },
     .logical = 3 * kBlock},
    {.name = "WriteAtTheCap",
     .prepare = [](FsRig& rig) { return write_request(file_in(rig, kRoot, "f", text(3 * kBlock)), 3 * kBlock, "x"); },
     .error = ENOSPC,
     .logical = 3 * kBlock},
};

const KillScenario kCuts[] = {
    {"TruncateToNothing", [](FsRig& rig) { return truncate_request(file_in(rig, kRoot, "f", text(3 * kBlock)), 0); }},
    {"TruncateWithinABlock",
     [](FsRig& rig) { return truncate_request(file_in(rig, kRoot, "f", text(2 * kBlock)), kBlock + 100); }},
    {"TruncateWithinASealedBlock",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(2 * kBlock));
       rig.volume().settle();
       return truncate_request(ino, kBlock + 100);
     }},
    {"TruncateOverBlocks",
     [](FsRig& rig) { return truncate_request(file_in(rig, kRoot, "f", text(5 * kBlock)), kBlock); }},
    {.name = "TruncateOfALargeFile",
     .prepare =
         [](FsRig& rig) {
           const uint64_t ino = file_in(rig, kRoot, "f", std::string(3 * kMiB / 2, 'x'));
           rig.volume().settle();
           return truncate_request(ino, 10);
         },
     .has_exact_blocks = false},
    {"TruncateToGrow", [](FsRig& rig) { return truncate_request(file_in(rig, kRoot, "f", text(100)), kMiB); }},
    {"TruncateToTheSameSize",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(100));
       EXPECT_TRUE(rig.fallocate(ino, FileSystem::kKeepSize, 0, 3 * kBlock));
       return truncate_request(ino, 100);
     }},
};

const KillScenario kRanges[] = {
    {"Fallocate", [](FsRig& rig) { return fallocate_request(file_in(rig, kRoot, "f", text(100)), 0, 50, 3 * kBlock); }},
    {"FallocateOfSealedBlocks",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(2 * kBlock));
       rig.volume().settle();
       return fallocate_request(ino, 0, 0, 3 * kBlock);
     }},
    {"FallocateBehindTheEnd",
     [](FsRig& rig) {
       return fallocate_request(file_in(rig, kRoot, "f", text(100)), FileSystem::kKeepSize, kBlock, 2 * kBlock);
     }},
    {"PunchAHoleInAnOpenBlock",
     [](FsRig& rig) { return fallocate_request(file_in(rig, kRoot, "f", text(kBlock)), kPunch, 100, 1000); }},
    {"PunchAHoleInASealedBlock",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(kBlock));
       rig.volume().settle();
       return fallocate_request(ino, kPunch, 100, 1000);
     }},
    {"PunchAHoleOverBlocks",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(5 * kBlock));
       rig.volume().settle();
       return fallocate_request(ino, kPunch, 100, 4 * kBlock);
     }},
    {"PunchWhatIsReserved",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(kBlock));
       EXPECT_TRUE(rig.fallocate(ino, 0, 0, 3 * kBlock));
       return fallocate_request(ino, kPunch, 100, 2 * kBlock);
     }},
    {"ZeroARange",
     [](FsRig& rig) {
       return fallocate_request(file_in(rig, kRoot, "f", text(3 * kBlock)), FileSystem::kZeroRange, 100, 4 * kBlock);
     }},
    {"ZeroARangeOfSealedBlocks",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(3 * kBlock));
       rig.volume().settle();
       return fallocate_request(ino, FileSystem::kZeroRange, 100, 2 * kBlock);
     }},
    {.name = "FallocateBeyondTheCap",
     .prepare = [](FsRig& rig) { return fallocate_request(file_in(rig, kRoot, "f", text(100)), 0, 0, 8 * kBlock); },
     .error = ENOSPC,
     .logical = 4 * kBlock},
};

const KillScenario kCopies[] = {
    {"CopyOfSealedBlocks",
     [](FsRig& rig) {
       const uint64_t from = file_in(rig, kRoot, "from", text(kBlock) + std::string(kBlock, 'x') + text(100));
       const uint64_t to = file_in(rig, kRoot, "to");
       rig.volume().settle();
       return copy_request(from, 0, to, 0, 3 * kBlock);
     }},
    {.name = "CopyOfSealedBlocksOverOthers",
     .prepare =
         [](FsRig& rig) {
           const uint64_t from = file_in(rig, kRoot, "from", text(kBlock) + std::string(kBlock, 'x'));
           const uint64_t to = file_in(rig, kRoot, "to", std::string(kBlock, 'y') + std::string(kBlock, 'z'));
           rig.volume().settle();
           return copy_request(from, 0, to, 0, 2 * kBlock);
         },
     .is_settled = true},
    {"CopyThatIsNotAligned",
     [](FsRig& rig) {
       const uint64_t from = file_in(rig, kRoot, "from", text(3 * kBlock));
       const uint64_t to = file_in(rig, kRoot, "to", text(kBlock, 2));
       rig.volume().settle();
       return copy_request(from, 100, to, 300, 2 * kBlock);
     }},
    {"CopyWithinAFile",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "f", text(2 * kBlock));
       return copy_request(ino, 0, ino, 2 * kBlock, 2 * kBlock);
     }},
    {"CopyInManySteps",
     [](FsRig& rig) {
       const uint64_t from = file_in(rig, kRoot, "from");
       for (const uint64_t offset : {Bytes(0), kMiB - 100, 2 * kMiB - kBlock, 3 * kMiB - 50})
         rig.write(from, offset, text(200, uint32_t(offset)));
       const uint64_t to = file_in(rig, kRoot, "to", text(kBlock, 2));
       rig.write(to, 2 * kMiB, text(100));
       return copy_request(from, 0, to, 10, 4 * kMiB);
     }},
    {"CopyThatTakesPrivileges",
     [](FsRig& rig) {
       const uint64_t from = file_in(rig, kRoot, "from", text(100));
       const uint64_t to = file_in(rig, kRoot, "to", text(100, 2));
       rig.run([&](Operation& op) { return rig.fs().setattr(op, to, {.fields = SetAttr::kMode, .mode = 06777}); });
       return copy_request(from, 0, to, 0, 100);
     }},
    {"CopyOfNothing",
     [](FsRig& rig) {
       const uint64_t from = file_in(rig, kRoot, "from", text(100));
       return copy_request(from, 100, file_in(rig, kRoot, "to"), 0, 100);
     }},
    {.name = "CopyThatIsCutAtTheCap",
     .prepare =
         [](FsRig& rig) {
           const uint64_t from = file_in(rig, kRoot, "from", text(3 * kBlock));
           return copy_request(from, 0, file_in(rig, kRoot, "to"), 0, 3 * kBlock);
         },
     .logical = 5 * kBlock},
};

}  // namespace

std::span<const KillScenario> writes() { return kWrites; }
std::span<const KillScenario> cuts() { return kCuts; }
std::span<const KillScenario> ranges() { return kRanges; }
std::span<const KillScenario> copies() { return kCopies; }

}  // namespace ztmpfs
