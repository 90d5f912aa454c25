// Whatever is damaged in an image: it is refused with a sentence, or it is served, and then everything in it is right
// (or EIO, where a checksum covers it).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "tests/fs/fs_rig.h"
#include "tests/support/image_snapshot.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr Bytes kBlock = 32 * kKiB;

std::string text(size_t size) {
  std::string result;
  for (int line = 0; result.size() < size; ++line) result += "line " + std::to_string(line) + " of some text\n";
  result.resize(size);
  return result;
}

std::string noise(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string result(size, '\0');
  for (char& byte : result) byte = char(random());
  return result;
}

/// What a volume shows of itself: for each inode its attributes, contents, entries and xattrs, as text.
class Portrait {
 public:
  Portrait(FileSystem& fs, const std::vector<uint64_t>& nameless) {
    add(fs, kRoot);
    for (const uint64_t ino : nameless) add(fs, ino);
  }

  /// How this one differs from what it should be. "EIO" where something should be is no difference.
  std::optional<std::string> difference(const Portrait& expected) const {
    for (const auto& [what, value] : expected.facts_) {
      const auto found = facts_.find(what);
      if (found == facts_.end()) return what + " is gone";
      if (found->second != value && found->second != kUnreadable) return what + " is wrong";
    }
    if (facts_.size() != expected.facts_.size()) return "there is more than there should be";
    return std::nullopt;
  }
  bool is_complete() const {
    return std::ranges::none_of(facts_, [](const auto& fact) { return fact.second == kUnreadable; });
  }

 private:
  static constexpr const char* kUnreadable = "EIO";

  void add(FileSystem& fs, uint64_t ino) {
    const std::string name = "inode " + std::to_string(ino);
    const auto attr = fs.getattr(ino);
    if (!attr || facts_.contains(name)) return;
    Attr stable = *attr;
    stable.blocks = 0;  // changes when blocks are sealed
    facts_[name] = std::string(reinterpret_cast<const char*>(&stable), sizeof(stable));
    if (S_ISREG(attr->mode)) add_contents(fs, ino, attr->size);
    if (S_ISLNK(attr->mode)) facts_[name + "'s target"] = fs.readlink(ino).value_or(kUnreadable);
    if (S_ISDIR(attr->mode)) add_entries(fs, ino);
    std::string names(4096, '\0');
    const auto length = fs.list_xattrs(ino, {}, std::as_writable_bytes(std::span(names)));
    facts_[name + "'s xattrs"] = length ? names.substr(0, *length) : kUnreadable;
  }
  void add_contents(FileSystem& fs, uint64_t ino, uint64_t size) {
    for (uint64_t offset = 0; offset < size; offset += kBlock) {
      std::string block(kBlock, '\0');
      const auto done = fs.read(ino, offset, std::as_writable_bytes(std::span(block)));
      facts_["inode " + std::to_string(ino) + " at " + std::to_string(offset)] =
          done ? block.substr(0, *done) : kUnreadable;
    }
  }
  void add_entries(FileSystem& fs, uint64_t directory) {
    std::vector<std::pair<std::string, uint64_t>> entries;
    ASSERT_TRUE(fs.readdir(directory, 0, [&](const DirectoryEntry& entry) {
      entries.emplace_back(entry.name, entry.ino);
      return true;
    }));
    std::string& listing = facts_["inode " + std::to_string(directory) + "'s entries"];
    for (const auto& [name, ino] : entries) listing += name + "=" + std::to_string(ino) + "\n";
    for (const auto& [name, ino] : entries) add(fs, ino);
  }

  std::map<std::string, std::string> facts_;
};

/// An image with something of everything, as a killed server leaves it.
class DamagedImageTest : public testing::Test {
 protected:
  enum class Verdict { kRefused, kServed, kServedWithErrors };

  static void SetUpTestSuite() { snapshot_ = new ImageSnapshot(make_image(nameless_)); }
  static void TearDownTestSuite() {
    delete snapshot_;
    snapshot_ = nullptr;
  }

  void SetUp() override {
    Volume volume(snapshot_->restore(), options(), clock_);
    ASSERT_EQ(volume.fs().audit(), std::vector<std::string>());
    expected_.emplace(volume.fs(), nameless_);
    ASSERT_TRUE(expected_->is_complete());
  }

  static VolumeOptions options() {
    VolumeOptions options;
    options.size = 64 * kMiB;
    options.hot = 16 * kMiB;
    options.count_heaps = false;
    options.root.acl = true;
    return options;
  }

  static ImageFiles make_image(std::vector<uint64_t>& nameless) {
    FsRig rig;
    make_sealed_files(rig);
    const uint64_t directory = rig.mkdir(kRoot, "directory")->ino;
    rig.mkdir(directory, "below");
    rig.symlink(directory, "symlink", "../target");
    const uint64_t linked = rig.create(kRoot, "linked")->ino;
    rig.link(linked, directory, "linked too");
    rig.create(directory, std::string(200, 'n'));
    rig.set_xattr(linked, "user.one", "value");
    rig.run([&](Operation& op) { return rig.fs().mknod(op, kRoot, "device", S_IFCHR | 0600, 0x101); });
    rig.run([&](Operation& op) { return rig.fs().set_inode_flags(op, linked, 0x80); });
    const uint64_t cut = rig.create(kRoot, "cut")->ino;
    rig.write(cut, 0, std::string(3 * kMiB, 'c'));
    const uint64_t dead = rig.create(kRoot, "dead")->ino;
    rig.write(dead, 0, std::string(3 * kMiB, 'd'));
    rig.volume().settle();
    rig.truncate(cut, 1000);
    rig.unlink(kRoot, "dead");
    rig.forget(dead);
    // Open blocks, a file without a name, two that are to be freed, and a rename that was committed.
    rig.write(rig.create(kRoot, "open")->ino, 0, text(3 * kBlock + 17));
    rig.fallocate(rig.create(kRoot, "reserved")->ino, FileSystem::kKeepSize, 0, 2 * kBlock);
    nameless = {rig.tmpfile(kRoot)->ino};
    rig.write(nameless.front(), 0, "unlinked, but open");
    Operation op = rig.operation(1);
    EXPECT_TRUE(rig.fs().rename(op, kRoot, "linked", directory, "renamed", 0));
    request_record(rig.volume().image(), 1).intent.state = IntentRecord::kCommitted;
    return duplicate(rig.volume().image().files());
  }
  static void make_sealed_files(FsRig& rig) {
    rig.write(rig.create(kRoot, "text")->ino, 0, text(5 * kBlock));
    rig.write(rig.create(kRoot, "noise")->ino, 0, noise(2 * kBlock + 5000, 1));
    rig.write(rig.create(kRoot, "fill")->ino, 0, std::string(2 * kBlock, 'f'));
    rig.write(rig.create(kRoot, "sparse")->ino, 10 * kBlock, "end");
    for (int i = 0; i < 40; ++i) rig.write(rig.create(kRoot, "file" + std::to_string(i))->ino, 0, text(size_t(i) * 60));
    for (int i = 0; i < 40; i += 4) rig.unlink(kRoot, "file" + std::to_string(i));  // they stay looked up
    rig.volume().fs().run_unfrozen([&] { return rig.volume().store().seal(1000, true, Effort::kFastForGood); });
  }
  // Attaches what damage() has made of the image, and judges what is served.
  Verdict judge(const std::string& what, const std::function<void(const ImageFiles&)>& damage, bool may_be_wrong) {
    ImageFiles files = snapshot_->restore();
    damage(files);
    try {
      EXPECT_EQ(files.changed_options(), "") << what;
      Volume volume(std::move(files), options(), clock_);
      const auto breaches = volume.fs().audit();
      if (!breaches.empty()) ADD_FAILURE() << what << ": " << breaches.front();
      const Portrait portrait(volume.fs(), nameless_);
      const auto difference = portrait.difference(*expected_);
      if (difference && !may_be_wrong) ADD_FAILURE() << what << ": " << *difference;
      use(volume);
      return portrait.is_complete() ? Verdict::kServed : Verdict::kServedWithErrors;
    } catch (const std::runtime_error& refusal) {
      EXPECT_NE(std::string(refusal.what()).find("image"), std::string::npos) << what << ": " << refusal.what();
      EXPECT_EQ(std::string(refusal.what()).find('\n'), std::string::npos) << what << ": " << refusal.what();
      return Verdict::kRefused;
    }
  }
  // It must bear all that a mount does.
  static void use(Volume& volume) {
    Operation op(volume.image(), request_record(volume.image(), 0), {});
    op.end();
    const auto made = volume.fs().create(op, kRoot, "new", 0644, true);
    op.end();
    const std::string data = text(2 * kBlock);
    if (made) static_cast<void>(volume.fs().write(op, made->ino, 0, std::as_bytes(std::span(data))));
    op.end();
    volume.settle();
    volume.pool().compact();
    EXPECT_EQ(volume.fs().audit(), std::vector<std::string>());
  }

  Verdict flip(UniqueFd ImageFiles::* file, uint64_t bit, const std::string& what, bool may_be_wrong = false) {
    const auto damage = [&](const ImageFiles& files) {
      uint8_t byte = 0;
      ASSERT_EQ(::pread((files.*file).get(), &byte, 1, off_t(bit / 8)), 1);
      byte ^= uint8_t(1U << bit % 8);
      ASSERT_EQ(::pwrite((files.*file).get(), &byte, 1, off_t(bit / 8)), 1);
    };
    return judge(what + ", bit " + std::to_string(bit % 8) + " of byte " + std::to_string(bit / 8), damage,
                 may_be_wrong);
  }

  // The records of a region that are not all zeros, by their offsets in the metadata file.
  std::vector<uint64_t> records(RegionId id, size_t size) {
    std::vector<uint64_t> offsets;
    const Image image(snapshot_->restore());
    const Region region = image.region(id);
    const uint64_t begin = uint64_t(region.base() - image.meta().base());
    region.for_each_resident([&](Bytes offset, Bytes length) {
      for (Bytes page = offset; page < offset + length; page += kPageSize)
        for (Bytes at = page; at + size <= page + kPageSize; at += size)
          if (std::any_of(region.base() + at, region.base() + at + size, [](std::byte b) { return b != std::byte{0}; }))
            offsets.push_back(begin + at);
    });
    return offsets;
  }

  // The inodes that a committed intent stores to: recovery gives them the parity that they have then, whatever else has
  // become of them.
  std::set<uint64_t> inodes_under_change() {
    const Image image(snapshot_->restore());
    const IntentRecord& intent = request_record(image, 1).intent;
    std::set<uint64_t> offsets;
    for (uint32_t i = 0; i < intent.count; ++i)
      offsets.insert(intent.stores[i].offset() / sizeof(InodeRecord) * sizeof(InodeRecord));
    return offsets;
  }

  // Every bit of each `stride`th byte, at another one of them in each record: so all bytes of a record have their turn.
  void flip_all(RegionId id, size_t size, size_t stride, const std::string& what, size_t unchecked_at = SIZE_MAX) {
    std::map<Verdict, int> verdicts;
    const auto excused = id == RegionId::kInodes ? inodes_under_change() : std::set<uint64_t>();
    size_t number = 0;
    for (const uint64_t offset : records(id, size)) {
      for (size_t byte = number++ % stride; byte < size; byte += stride) {
        const size_t bit = (offset + byte) * 8 + random_() % 8;
        const bool is_unchecked = (byte >= unchecked_at && byte < unchecked_at + 8) || excused.contains(offset);
        ++verdicts[flip(&ImageFiles::meta, bit, what + " " + std::to_string(number) + " byte " + std::to_string(byte),
                        is_unchecked)];
      }
    }
    EXPECT_GT(verdicts[Verdict::kRefused], 0) << what;
    RecordProperty("refused", verdicts[Verdict::kRefused]);
    RecordProperty("served", verdicts[Verdict::kServed]);
    RecordProperty("served_with_errors", verdicts[Verdict::kServedWithErrors]);
  }

  static inline ImageSnapshot* snapshot_ = nullptr;
  static inline std::vector<uint64_t> nameless_;
  FakeClock clock_;
  std::optional<Portrait> expected_;
  std::mt19937_64 random_{5};
};

TEST_F(DamagedImageTest, Header) {
  for (uint64_t bit = 0; bit < offsetof(ImageHeader, changed_options) * 8 + 64; ++bit)
    flip(&ImageFiles::meta, bit, "header");
}

TEST_F(DamagedImageTest, Requests) { flip_all(RegionId::kRequests, sizeof(RequestRecord), 3, "request"); }

TEST_F(DamagedImageTest, Handles) { flip_all(RegionId::kHandles, sizeof(HandleRecord), 8, "handle"); }

TEST_F(DamagedImageTest, Blocks) { flip_all(RegionId::kBlocks, sizeof(BlockSlot), 12, "block"); }

TEST_F(DamagedImageTest, Inodes) {
  flip_all(RegionId::kInodes, sizeof(InodeRecord), 8, "inode", offsetof(InodeRecord, lookups));
}

TEST_F(DamagedImageTest, Names) { flip_all(RegionId::kNames, sizeof(ShortName), 5, "name"); }

TEST_F(DamagedImageTest, LongNames) { flip_all(RegionId::kLongNames, sizeof(LongName), 1, "long name"); }

// Records overwritten with noise, whole or in part, and exchanged.
TEST_F(DamagedImageTest, Garbage) {
  const std::pair<RegionId, size_t> regions[] = {
      {RegionId::kRequests, sizeof(RequestRecord)}, {RegionId::kHandles, sizeof(HandleRecord)},
      {RegionId::kBlocks, sizeof(BlockSlot)},       {RegionId::kInodes, sizeof(InodeRecord)},
      {RegionId::kNames, sizeof(ShortName)},        {RegionId::kLongNames, sizeof(LongName)}};
  for (const auto& [id, size] : regions) {
    const auto offsets = records(id, size);
    for (int round = 0; round < 60; ++round) {
      const uint64_t offset = offsets[random_() % offsets.size()];
      const uint64_t other = offsets[random_() % offsets.size()];
      const size_t from = random_() % size / 8 * 8;
      const std::string garbage = noise(round % 3 == 0 ? size - from : 8, random_());
      const auto damage = [&](const ImageFiles& files) {
        const int fd = files.meta.get();
        if (round % 3 != 2) {
          ASSERT_EQ(::pwrite(fd, garbage.data(), garbage.size(), off_t(offset + from)), ssize_t(garbage.size()));
          return;
        }
        std::string one(size, '\0'), two(size, '\0');
        ASSERT_EQ(::pread(fd, one.data(), size, off_t(offset)), ssize_t(size));
        ASSERT_EQ(::pread(fd, two.data(), size, off_t(other)), ssize_t(size));
        ASSERT_EQ(::pwrite(fd, two.data(), size, off_t(offset)), ssize_t(size));
        ASSERT_EQ(::pwrite(fd, one.data(), size, off_t(other)), ssize_t(size));
      };
      // An inode's lookups are not told twice.
      const bool may_be_wrong = id == RegionId::kInodes;
      judge("round " + std::to_string(round) + " at " + std::to_string(offset), damage, may_be_wrong);
    }
  }
}

// A page of a table that is gone is never a reason to crash, whatever it takes with it.
TEST_F(DamagedImageTest, LostPages) {
  for (RegionId id : {RegionId::kRequests, RegionId::kHandles, RegionId::kBlocks, RegionId::kInodes, RegionId::kNames,
                      RegionId::kLongNames}) {
    const auto offsets = records(id, 8);
    for (const uint64_t offset : {offsets.front(), offsets.back()}) {
      const auto damage = [&](const ImageFiles& files) {
        const std::string zeros(kPageSize, '\0');
        ASSERT_EQ(::pwrite(files.meta.get(), zeros.data(), kPageSize, off_t(offset / kPageSize * kPageSize)),
                  kPageSize);
      };
      judge("page at " + std::to_string(offset), damage, true);
    }
  }
}

TEST_F(DamagedImageTest, PagesThatNobodyMade) {
  const Image image(snapshot_->restore());
  for (uint32_t id = uint32_t(RegionId::kHandles); id < uint32_t(RegionId::kCount); ++id) {
    const auto& extent = image.header().regions[id];
    const auto damage = [&](const ImageFiles& files) {
      const std::string garbage = noise(kPageSize, id);
      ASSERT_EQ(::pwrite(files.meta.get(), garbage.data(), kPageSize, off_t(extent.offset + extent.length - kPageSize)),
                kPageSize);
    };
    judge("last page of region " + std::to_string(id), damage, false);
  }
}

// Sealed contents are covered by checksums; what is written in place is not.
TEST_F(DamagedImageTest, Contents) {
  int errors = 0;
  const Image image(snapshot_->restore());
  std::vector<uint64_t> pages;
  image.data().for_each_resident([&](Bytes offset, Bytes length) {
    for (Bytes page = offset; page < offset + length; page += kPageSize) pages.push_back(page);
  });
  ASSERT_FALSE(pages.empty());
  for (int round = 0; round < 150; ++round) {
    const uint64_t bit = (pages[random_() % pages.size()] * 8) + random_() % (kPageSize * 8);
    const Verdict verdict = flip(&ImageFiles::data, bit, "contents", true);
    EXPECT_NE(verdict, Verdict::kRefused);
    errors += verdict == Verdict::kServedWithErrors ? 1 : 0;
  }
  EXPECT_GT(errors, 0);
}

TEST_F(DamagedImageTest, FilesOfOtherLengthsAndForeignFiles) {
  for (UniqueFd ImageFiles::* file : {&ImageFiles::meta, &ImageFiles::data, &ImageFiles::buffers}) {
    for (const int64_t change : {-int64_t(kPageSize), -int64_t(kMiB), -100L, 100L, int64_t(kPageSize)}) {
      const auto damage = [&](const ImageFiles& files) {
        struct stat status{};
        ASSERT_EQ(::fstat((files.*file).get(), &status), 0);
        ASSERT_EQ(::ftruncate((files.*file).get(), std::max<off_t>(status.st_size + change, 0)), 0);
      };
      EXPECT_EQ(judge("length changed by " + std::to_string(change), damage, false), Verdict::kRefused);
    }
  }
  const auto overwrite = [](const ImageFiles& files) {
    const std::string foreign = noise(64 * kKiB, 3);
    ASSERT_EQ(::pwrite(files.meta.get(), foreign.data(), foreign.size(), 0), ssize_t(foreign.size()));
  };
  EXPECT_EQ(judge("foreign", overwrite, false), Verdict::kRefused);
}

TEST_F(DamagedImageTest, OptionsThatWereChanged) {
  Volume volume(snapshot_->restore(), options(), clock_);
  volume.image().header().changed_options.store("hot=1M");
  volume.image().header().changed_options.store("hot=2M");
  const ImageSnapshot changed(volume.image().files());
  int refused = 0;
  const size_t begin = offsetof(ImageHeader, changed_options) * 8;
  for (size_t bit = begin; bit < begin + sizeof(DurableText) * 8; bit += bit < begin + 96 ? 1 : 37) {
    const ImageFiles files = changed.restore();
    uint8_t byte = 0;
    ASSERT_EQ(::pread(files.meta.get(), &byte, 1, off_t(bit / 8)), 1);
    byte ^= uint8_t(1U << bit % 8);
    ASSERT_EQ(::pwrite(files.meta.get(), &byte, 1, off_t(bit / 8)), 1);
    try {
      EXPECT_EQ(files.changed_options(), "hot=2M") << "bit " << bit - begin;
    } catch (const std::runtime_error& refusal) {
      EXPECT_STREQ(refusal.what(), "the image is damaged: the options that were changed while mounted");
      ++refused;
    }
  }
  EXPECT_GE(refused, 32) << "each bit of the word that says which text counts";
}

}  // namespace
}  // namespace ztmpfs
