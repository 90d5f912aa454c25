// Each operation is killed at each of its durable stores, and done by a second server: with one reply, and everything
// as if it had run once. For each of these kills, one more somewhere within the recovery.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <iostream>

#include "tests/crash/kill_requests.h"
#include "tests/crash/kill_rig.h"
#include "tests/fs/fs_rig.h"
#include "tests/support/fake_caller.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kBlock = 8 * kKiB;
constexpr uint64_t kPage = kPageSize;

ImageGeometry geometry() {
  return {.capacity = 64 * kMiB, .block_size = kBlock, .request_slots = 1, .request_buffer_size = 18 * kPageSize};
}

// A file of the root, looked up once.
uint64_t file_in(FsRig& rig, uint64_t parent, std::string_view name, std::string_view contents = {}) {
  const uint64_t ino = rig.create(parent, name)->ino;
  for (size_t offset = 0; offset < contents.size(); offset += kBlock)
    rig.write(ino, offset, contents.substr(offset, kBlock));
  return ino;
}

// Of many points those in the middle are alike: block after block. A share of them has to do.
uint64_t next_point(uint64_t point, uint64_t points) {
  constexpr uint64_t kAllOf = 50;
  constexpr uint64_t kShare = 7;
  return point + (point > kAllOf && point + kAllOf + kShare < points ? kShare : 1);
}

// An operation and the image that it meets.
struct Scenario {
  std::string name;
  std::function<KillRequest(FsRig&)> prepare;
  int error = 0;
  Bytes logical = 0;  // the volume's cap on contents, 0 for none
  /// Requests whose outcomes are as good: a READDIRPLUS that is killed may tell of fewer entries.
  std::function<std::vector<KillRequest>(const KillRequest&)> alternatives{};
  bool is_answered = true;
};

std::string name_of(const testing::TestParamInfo<Scenario>& info) { return info.param.name; }

std::ostream& operator<<(std::ostream& stream, const Scenario& scenario) { return stream << scenario.name; }

class KillPointsOf : public testing::TestWithParam<Scenario> {
 protected:
  // What a run may come to: that of the operation as it is, or of an alternative.
  void expect_permitted(const KillRun& run, const std::string& when) const {
    EXPECT_EQ(run.failure, "") << when;
    EXPECT_EQ(run.replies.empty(), !GetParam().is_answered) << when;
    const auto is_run = [&](const KillRun& permitted) {
      const auto is_reply = [&](const KillRun::Reply& reply) { return reply == permitted.replies.at(0); };
      return run.dump == permitted.dump && std::ranges::all_of(run.replies, is_reply);
    };
    if (std::ranges::any_of(permitted_, is_run)) return;
    ADD_FAILURE() << when << ": it came to something else";
    EXPECT_EQ(run.dump, permitted_[0].dump);
    for (const KillRun::Reply& reply : run.replies) {
      EXPECT_EQ(reply.error, permitted_[0].replies.at(0).error);
      EXPECT_EQ(reply.body, permitted_[0].replies.at(0).body);
    }
  }

  std::vector<KillRun> permitted_;
};

TEST_P(KillPointsOf, IsDoneOnce) {
  const Scenario& scenario = GetParam();
  FsRig stage(64 * kMiB, scenario.logical, geometry());
  const KillRequest request = scenario.prepare(stage);
  const KillRig rig(stage.files(), stage.options(), stage.clock());
  const KillRun whole = rig.serve(request, {});
  ASSERT_EQ(whole.failure, "");
  ASSERT_EQ(whole.dump.find("breach"), whole.dump.npos) << whole.dump;
  ASSERT_EQ(whole.replies.size(), scenario.is_answered ? 1U : 0U);
  if (scenario.is_answered) {
    ASSERT_EQ(whole.replies[0].error, scenario.error);
  }
  permitted_.push_back(whole);
  if (scenario.alternatives)
    for (const KillRequest& other : scenario.alternatives(request)) permitted_.push_back(rig.serve(other, {}));
  for (uint64_t point = 1; point <= whole.points && !HasFailure(); point = next_point(point, whole.points)) {
    const KillRun once = rig.serve(request, {point});
    expect_permitted(once, "killed at point " + std::to_string(point) + " of " + std::to_string(whole.points));
    if (once.points == 0) continue;
    const uint64_t again = 1 + point * 7919 % once.points;
    expect_permitted(rig.serve(request, {point, again}), "killed at point " + std::to_string(point) +
                                                             " and again in the recovery at " + std::to_string(again) +
                                                             " of " + std::to_string(once.points));
  }
  std::cout << scenario.name << ": " << whole.points << " points\n";
}

KillRequest with_names(uint32_t opcode, uint64_t nodeid, std::initializer_list<std::string_view> names) {
  return {opcode, nodeid, make_names(names)};
}

const Scenario kNamesThatCome[] = {
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
    {"Symlink", [](FsRig&) { return with_names(FUSE_SYMLINK, kRoot, {"new", "target"}); }},
    {"SymlinkToALongTarget", [](FsRig&) { return with_names(FUSE_SYMLINK, kRoot, {"new", text(4000)}); }},
    {"Link", [](FsRig& rig) { return link_request(file_in(rig, kRoot, "old"), kRoot, "new"); }},
    {"LinkOfATmpfile", [](FsRig& rig) { return link_request(rig.tmpfile(kRoot)->ino, kRoot, "new"); }},
    {"Lookup",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old");
       return with_names(FUSE_LOOKUP, kRoot, {"old"});
     }},
    {"LookupOfNothing", [](FsRig&) { return with_names(FUSE_LOOKUP, kRoot, {"nothing"}); }},
};

const Scenario kNamesThatGo[] = {
    {"Unlink",
     [](FsRig& rig) {
       rig.forget(file_in(rig, kRoot, "old", text(3 * kBlock)));
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfWhatIsLookedUp",
     [](FsRig& rig) {
       file_in(rig, kRoot, "old", text(kBlock));
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfOneOfTwo",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "old", text(kBlock));
       EXPECT_TRUE(rig.link(ino, kRoot, "other"));
       rig.forget(ino, 2);
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfAFileWithXattrs",
     [](FsRig& rig) {
       const uint64_t ino = file_in(rig, kRoot, "old", text(kBlock));
       EXPECT_TRUE(rig.set_xattr(ino, "user.a", "1"));
       rig.forget(ino);
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfALargeFile",
     [](FsRig& rig) {
       rig.forget(file_in(rig, kRoot, "old", std::string(3 * kMiB / 2, 'x')));
       rig.volume().settle();
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"UnlinkOfASymlink",
     [](FsRig& rig) {
       rig.forget(rig.symlink(kRoot, "old", "target")->ino);
       return with_names(FUSE_UNLINK, kRoot, {"old"});
     }},
    {"Rmdir",
     [](FsRig& rig) {
       rig.forget(rig.mkdir(kRoot, "old")->ino);
       return with_names(FUSE_RMDIR, kRoot, {"old"});
     }},
    {"RmdirOfWhatIsLookedUp",
     [](FsRig& rig) {
       rig.mkdir(kRoot, "old");
       return with_names(FUSE_RMDIR, kRoot, {"old"});
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

const Scenario kRenames[] = {
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

const Scenario kWrites[] = {
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

INSTANTIATE_TEST_SUITE_P(NamesThatCome, KillPointsOf, testing::ValuesIn(kNamesThatCome), name_of);
INSTANTIATE_TEST_SUITE_P(NamesThatGo, KillPointsOf, testing::ValuesIn(kNamesThatGo), name_of);
INSTANTIATE_TEST_SUITE_P(Renames, KillPointsOf, testing::ValuesIn(kRenames), name_of);
INSTANTIATE_TEST_SUITE_P(Writes, KillPointsOf, testing::ValuesIn(kWrites), name_of);

}  // namespace
}  // namespace ztmpfs
