// Each operation with room for so many pages and no more: it happens whole, or not at all.
#include <random>
#include <sstream>

#include "tests/fs/fs_rig.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

std::string noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = char(random());
  return bytes;
}

// What the operations work on.
struct Tree {
  uint64_t file;
  uint64_t other;
  uint64_t directory;
};

struct Case {
  const char* name;
  std::errc (*run)(FsRig& rig, const Tree& tree);
};

template <class T>
std::errc error_of(const Result<T>& result) {
  return result ? std::errc() : result.error();
}

// A write that is cut short is no error, but must be told.
std::errc error_of_write(const Result<size_t>& result, size_t wanted) {
  return result && *result < wanted ? std::errc::no_space_on_device : error_of(result);
}

const std::string kLongName(200, 'n');

constexpr Case kCases[] = {
    {"create", [](FsRig& rig, const Tree&) { return error_of(rig.create(kRoot, "new", true)); }},
    {"create_long", [](FsRig& rig, const Tree&) { return error_of(rig.create(kRoot, kLongName, true)); }},
    {"mkdir", [](FsRig& rig, const Tree&) { return error_of(rig.mkdir(kRoot, "new")); }},
    {"symlink", [](FsRig& rig, const Tree&) { return error_of(rig.symlink(kRoot, "new", noise(3000, 4))); }},
    {"link", [](FsRig& rig, const Tree& tree) { return error_of(rig.link(tree.file, tree.directory, "new")); }},
    {"tmpfile", [](FsRig& rig, const Tree&) { return error_of(rig.tmpfile(kRoot)); }},
    {"rename",
     [](FsRig& rig, const Tree& tree) { return error_of(rig.rename(kRoot, "file", tree.directory, kLongName)); }},
    {"replace", [](FsRig& rig, const Tree&) { return error_of(rig.rename(kRoot, "file", kRoot, "other")); }},
    {"whiteout",
     [](FsRig& rig, const Tree& tree) {
       return error_of(rig.rename(kRoot, "file", tree.directory, "new", FileSystem::kRenameWhiteout));
     }},
    {"setxattr",
     [](FsRig& rig, const Tree& tree) { return error_of(rig.set_xattr(tree.file, "user.new", noise(20'000, 2))); }},
    {"removexattr", [](FsRig& rig, const Tree& tree) { return error_of(rig.remove_xattr(tree.file, "user.old")); }},
    {"overwrite",
     [](FsRig& rig, const Tree& tree) { return error_of_write(rig.write(tree.file, 40'000, noise(5000, 3)), 5000); }},
    {"append",
     [](FsRig& rig, const Tree& tree) { return error_of_write(rig.write(tree.file, 100'000, noise(5000, 3)), 5000); }},
    {"write_far",
     [](FsRig& rig, const Tree& tree) { return error_of_write(rig.write(tree.file, 1 << 30, noise(5000, 3)), 5000); }},
    {"truncate_up", [](FsRig& rig, const Tree& tree) { return error_of(rig.truncate(tree.file, 1 << 30)); }},
    {"truncate_down", [](FsRig& rig, const Tree& tree) { return error_of(rig.truncate(tree.file, 33'333)); }},
    {"fallocate", [](FsRig& rig, const Tree& tree) { return error_of(rig.fallocate(tree.file, 0, 50'000, 200'000)); }},
    {"zero_range",
     [](FsRig& rig, const Tree& tree) {
       return error_of(rig.fallocate(tree.file, FileSystem::kZeroRange, 50'000, 20'000));
     }},
    {"copy",
     [](FsRig& rig, const Tree& tree) {
       return error_of_write(rig.copy({tree.other, 0, tree.file, 32'768, 30'000}), 30'000);
     }},
};

// What must go on at the cap, however full.
constexpr Case kFreeing[] = {
    {"unlink", [](FsRig& rig, const Tree&) { return error_of(rig.unlink(kRoot, "file")); }},
    {"rmdir", [](FsRig& rig, const Tree&) { return error_of(rig.rmdir(kRoot, "directory")); }},
    {"truncate", [](FsRig& rig, const Tree& tree) { return error_of(rig.truncate(tree.file, 0)); }},
    {"chmod",
     [](FsRig& rig, const Tree& tree) {
       return error_of(rig.run(
           [&](Operation& op) { return rig.fs().setattr(op, tree.file, {.fields = SetAttr::kMode, .mode = 0600}); }));
     }},
    {"replace", [](FsRig& rig, const Tree&) { return error_of(rig.rename(kRoot, "file", kRoot, "other")); }},
};

Tree make_tree(FsRig& rig) {
  const Tree tree{.file = rig.create(kRoot, "file")->ino,
                  .other = rig.create(kRoot, "other")->ino,
                  .directory = rig.mkdir(kRoot, "directory")->ino};
  EXPECT_EQ(rig.write(tree.file, 0, noise(100'000, 1)), 100'000U);
  EXPECT_EQ(rig.write(tree.other, 0, noise(50'000, 5)), 50'000U);
  EXPECT_TRUE(rig.set_xattr(tree.file, "user.old", noise(10'000, 6)));
  EXPECT_TRUE(rig.set_xattr(tree.file, "user.kept", "kept"));
  rig.volume().settle();
  rig.clock().advance(std::chrono::seconds(10));
  return tree;
}

// Everything that a user can see, but st_blocks.
std::string describe(FsRig& rig, const Tree& tree) {
  std::ostringstream text;
  for (const uint64_t directory : {kRoot, tree.directory})
    for (const std::string& name : rig.list(directory)) text << directory << '/' << name << '\n';
  for (const uint64_t ino : {kRoot, tree.file, tree.other, tree.directory}) {
    const Attr attr = *rig.fs().getattr(ino);
    text << ino << ' ' << attr.mode << ' ' << attr.nlink << ' ' << attr.size << ' ' << attr.mtime.seconds << ' '
         << attr.ctime.seconds << '\n';
  }
  for (const uint64_t ino : {tree.file, tree.other}) text << std::hash<std::string>()(rig.read(ino)) << '\n';
  const std::string names = rig.list_xattrs(tree.file);
  text << names << std::hash<std::string>()(*rig.get_xattr(tree.file, "user.kept")) << '\n';
  text << rig.fs().files() << '\n';
  return text.str();
}

// Leaves so many pages to the tables; contents have none then.
Bytes leave_room(MemoryBudget& budget, Bytes pages) {
  const Bytes room = budget.limit() - budget.reserve() / 2 - budget.used();
  const Bytes taken = room - std::min(room, pages * kPageSize);
  budget.charge(taken);
  return taken;
}

class Full : public testing::TestWithParam<Case> {};
class FullFreeing : public testing::TestWithParam<Case> {};

std::string name_of(const testing::TestParamInfo<Case>& info) { return info.param.name; }

TEST_P(Full, HappensWholeOrNotAtAll) {
  int failures = 0;
  std::errc last = std::errc::no_space_on_device;
  // The tables stop at half of the reserve of 512 KiB, contents at all of it, and sealing leaves 1 MiB to itself.
  for (Bytes pages = 0; pages < 1024; pages += pages < 16 ? 1 : pages / 8) {
    FsRig rig(32 * kMiB);
    const Tree tree = make_tree(rig);
    rig.volume().pool().release_free_spans(32 * kMiB);
    const std::string before = describe(rig, tree);
    const Bytes taken = leave_room(rig.volume().budget(), pages);
    last = GetParam().run(rig, tree);
    rig.volume().budget().uncharge(taken);
    ASSERT_TRUE(last == std::errc() || last == std::errc::no_space_on_device) << int(last);
    rig.expect_sound();
    if (last == std::errc()) continue;
    ++failures;
    ASSERT_EQ(describe(rig, tree), before) << "with room for " << pages << " pages";
    ASSERT_EQ(GetParam().run(rig, tree), std::errc()) << "once there is room";
  }
  EXPECT_EQ(last, std::errc()) << "in the end there was room";
  RecordProperty("failures", failures);
}

TEST_P(FullFreeing, GoesOnHoweverFullItIs) {
  FsRig rig(32 * kMiB);
  const Tree tree = make_tree(rig);
  const Bytes taken = leave_room(rig.volume().budget(), 0);
  rig.volume().budget().charge(rig.volume().budget().reserve() / 2);
  EXPECT_EQ(GetParam().run(rig, tree), std::errc());
  rig.volume().budget().uncharge(taken + rig.volume().budget().reserve() / 2);
  rig.expect_sound();
}

INSTANTIATE_TEST_SUITE_P(Operations, Full, testing::ValuesIn(kCases), name_of);
INSTANTIATE_TEST_SUITE_P(Operations, FullFreeing, testing::ValuesIn(kFreeing), name_of);

}  // namespace
}  // namespace ztmpfs
