#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "base/unique_fd.h"
#include "compress/codec_set.h"
#include "ctl/block_survey.h"
#include "ctl/tree_estimate.h"
#include "fs/inode.h"
#include "fs/name_table.h"
#include "pool/handle_record.h"
#include "store/block_slot.h"
#include "tests/compress/corpus.h"
#include "tests/ctl/ctl_rig.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;
namespace json = boost::json;

static_assert(RecordSizes::kInode == sizeof(InodeRecord));
static_assert(RecordSizes::kShortName == sizeof(ShortName));
static_assert(RecordSizes::kLongName == sizeof(LongName));
static_assert(RecordSizes::kBlockSlot == sizeof(BlockSlot));
static_assert(RecordSizes::kHandle == sizeof(HandleRecord));

constexpr uint32_t kBlock = 32 * kKiB;

class Estimate : public CtlRig {
 protected:
  Estimate() : tree_(directory_ + "/tree") { std::filesystem::create_directory(tree_); }

  void write(const std::string& name, const std::vector<std::byte>& bytes) const {
    std::filesystem::create_directories(std::filesystem::path(tree_ + "/" + name).parent_path());
    std::ofstream(tree_ + "/" + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  }
  json::object estimate(std::vector<std::string> arguments = {}, int exit_code = 0) const {
    arguments.insert(arguments.begin(), {"--json", "estimate"});
    if (arguments.size() == 2) arguments.push_back(tree_);
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    return json::parse(outcome.out).as_object();
  }
  // Of the blocks of 32 KiB.
  static json::object blocks(const json::object& report, size_t size = 2) {
    return report.at("block_sizes").at(size).as_object();
  }
  static double ratio_of(const json::object& report, size_t size, size_t codec) {
    return report.at("block_sizes").at(size).at("codecs").at(codec).at("ratio").to_number<double>();
  }

  const std::string tree_;
};

TEST_F(Estimate, CountsWhatThereIs) {
  write("a", text_bytes(3 * kBlock + 100, 1));
  write("d/e/empty", {});
  std::filesystem::create_symlink("a", tree_ + "/link");
  ::mkfifo((tree_ + "/fifo").c_str(), 0600);
  const json::object report = estimate();
  EXPECT_EQ(report.at("files"), 2);
  EXPECT_EQ(report.at("directories"), 3);
  EXPECT_EQ(report.at("symbolic_links"), 1);
  EXPECT_EQ(report.at("others"), 1);
  EXPECT_EQ(report.at("bytes"), 3 * kBlock + 100);
  EXPECT_EQ(report.at("sampled"), false);
  EXPECT_EQ(blocks(report).at("blocks"), 4);
  EXPECT_EQ(blocks(report, 0).at("blocks"), 25);
  EXPECT_EQ(blocks(report, 4).at("blocks"), 1);
}

TEST_F(Estimate, HardLinksAreCountedOnce) {
  write("a", text_bytes(kBlock, 1));
  std::filesystem::create_hard_link(tree_ + "/a", tree_ + "/b");
  std::filesystem::create_directory(tree_ + "/d");
  std::filesystem::create_hard_link(tree_ + "/a", tree_ + "/d/c");
  const json::object report = estimate();
  EXPECT_EQ(report.at("files"), 1);
  EXPECT_EQ(report.at("further_hard_links"), 2);
  EXPECT_EQ(report.at("bytes"), kBlock);
}

TEST_F(Estimate, WhatIsNamedTwiceIsCountedOnce) {
  write("d/a", text_bytes(kBlock, 1));
  const json::object report = estimate({tree_ + "/d/a", tree_, tree_ + "/d", tree_ + "/d/a"});
  EXPECT_EQ(report.at("files"), 1);
  EXPECT_EQ(report.at("directories"), 2);
  EXPECT_EQ(report.at("bytes"), kBlock);
}

TEST_F(Estimate, SymbolicLinksAreNotFollowed) {
  const std::string outside = directory_ + "/outside";
  std::filesystem::create_directory(outside);
  std::ofstream(outside + "/file") << "contents";
  std::filesystem::create_directory_symlink(outside, tree_ + "/link");
  std::filesystem::create_directory_symlink(tree_, tree_ + "/loop");
  EXPECT_EQ(estimate().at("files"), 0);
  EXPECT_EQ(estimate({tree_ + "/link"}).at("symbolic_links"), 1);
}

TEST_F(Estimate, HolesTakeNothing) {
  {
    const UniqueFd fd(::open((tree_ + "/sparse").c_str(), O_RDWR | O_CREAT, 0600));
    const auto text = text_bytes(kBlock, 1);
    ASSERT_EQ(::pwrite(fd.get(), text.data(), text.size(), 5 * kBlock), ssize_t(kBlock));
    ASSERT_EQ(::ftruncate(fd.get(), off_t(kGiB)), 0);
    const UniqueFd empty(::open((tree_ + "/nothing").c_str(), O_RDWR | O_CREAT, 0600));
    ASSERT_EQ(::ftruncate(empty.get(), off_t(kGiB)), 0);
  }
  const json::object report = estimate();
  EXPECT_EQ(report.at("bytes"), kBlock);
  EXPECT_EQ(report.at("hole_bytes"), 2 * kGiB - kBlock);
  EXPECT_EQ(report.at("bytes_read"), kBlock);
  EXPECT_EQ(blocks(report).at("blocks"), 1);
  EXPECT_EQ(blocks(report, 0).at("blocks"), 8);
}

TEST_F(Estimate, SameFilledAndDuplicateBlocksAreTold) {
  std::vector<std::byte> bytes(4 * kBlock, std::byte{0x55});
  const auto noise = random_bytes(kBlock, 1);
  std::ranges::copy(noise, bytes.begin() + kBlock);
  std::ranges::copy(noise, bytes.begin() + 2 * kBlock);
  write("a", bytes);
  write("b", noise);
  const json::object report = estimate();
  EXPECT_EQ(blocks(report).at("same_filled_blocks"), 2);
  EXPECT_EQ(blocks(report).at("compared_blocks"), 3);
  EXPECT_EQ(blocks(report).at("duplicate_blocks"), 2);
  EXPECT_EQ(blocks(report, 0).at("duplicate_blocks"), 16);
  EXPECT_EQ(blocks(report, 4).at("same_filled_blocks"), 0);
  const std::string text = run({"estimate", tree_}).out;
  EXPECT_THAT(text, HasSubstr("  same-filled   2 blocks of one repeated word"));
  EXPECT_THAT(text, HasSubstr("  duplicates    2 blocks equal to another one (66 % of those there are)"));
}

TEST_F(Estimate, RatiosGrowWithTheBlockAndTheCodec) {
  write("text", text_bytes(2 * kMiB, 1));
  const json::object report = estimate({"--codec", "zstd:9", tree_});
  for (size_t codec = 0; codec < 3; ++codec) EXPECT_GT(ratio_of(report, 4, codec), ratio_of(report, 0, codec));
  EXPECT_GT(ratio_of(report, 2, 1), ratio_of(report, 2, 0));
  EXPECT_GE(ratio_of(report, 2, 2), ratio_of(report, 2, 1));
}

TEST_F(Estimate, NoiseTakesWhatItIs) {
  write("noise", random_bytes(2 * kMiB, 1));
  const json::object report = estimate();
  for (size_t size = 0; size < kBlockSizes.size(); ++size) EXPECT_EQ(ratio_of(report, size, 0), 1);
  EXPECT_EQ(report.at("memory").at("contents"), 2 * kMiB);
}

TEST_F(Estimate, BehindTheFirstMebibytesTheDefaultIsTheFastCodec) {
  write("text", text_bytes(18 * kMiB, 1));
  const json::object report = estimate();
  const auto stored = [&](size_t codec) {
    return blocks(report).at("codecs").at(codec).at("stored_bytes").to_number<double>();
  };
  EXPECT_NEAR(report.at("memory").at("contents").to_number<double>(), stored(1) * 16 / 18 + stored(0) * 2 / 18,
              0.01 * stored(0));
}

TEST_F(Estimate, WhatCannotBeReadIsNamedAndTheRestIsEstimated) {
  write("a", text_bytes(kBlock, 1));
  const Outcome outcome = run({"--json", "estimate", tree_, tree_ + "/no\x1b[2Jne"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "ztmpfsctl: " + tree_ + "/no?[2Jne: No such file or directory\n");
  EXPECT_EQ(json::parse(outcome.out).at("files"), 1);
  EXPECT_EQ(json::parse(outcome.out).at("unreadable").as_array().size(), 1U);
  const Outcome nothing = run({"estimate", tree_ + "/none"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_EQ(nothing.out, "");
}

// Root may read everything: not in here.
class AsNobody {
 public:
  AsNobody() {
    constexpr uid_t kNobody = 65534;
    if (user_ != 0) return;
    EXPECT_EQ(::seteuid(kNobody), 0);
  }
  ~AsNobody() { EXPECT_EQ(::seteuid(user_), 0); }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;

 private:
  const uid_t user_ = ::geteuid();
};

TEST_F(Estimate, FilesThatAreForbiddenAreLeftOut) {
  write("a", text_bytes(kBlock, 1));
  write("b", text_bytes(kBlock, 2));
  std::filesystem::create_directory(tree_ + "/closed");
  for (const char* name : {"/b", "/closed"}) std::filesystem::permissions(tree_ + name, std::filesystem::perms::none);
  for (const std::string& path : {directory_, tree_}) std::filesystem::permissions(path, std::filesystem::perms(0755));
  const AsNobody nobody;
  const Outcome outcome = run({"--json", "estimate", tree_});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("ztmpfsctl: " + tree_ + "/b: Permission denied\n"));
  EXPECT_THAT(outcome.err, HasSubstr("ztmpfsctl: " + tree_ + "/closed: Permission denied\n"));
  EXPECT_EQ(json::parse(outcome.out).at("files"), 1);
}

TEST_F(Estimate, EmptyTreeIsNoDivisionByZero) {
  const Outcome outcome = run({"estimate", tree_});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("0 files, 1 directory; 0 B\n"));
  EXPECT_TRUE(estimate().at("block_sizes").at(2).at("codecs").at(0).at("ratio").is_null());
}

// Files of all lengths and kinds, some of them large.
void make_mixed_tree(const std::function<void(const std::string&, const std::vector<std::byte>&)>& write) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const size_t size = size_t(1) << random() % 17;
    write(std::to_string(i), random() % 4 == 0 ? random_bytes(size, random()) : text_bytes(size, random()));
  }
  for (int i = 0; i < 2; ++i) write("large" + std::to_string(i), text_bytes(5 * kMiB + i * 77777, random()));
  write("noise", random_bytes(2 * kMiB, random()));
}

TEST_F(Estimate, SampleIsCloseToTheWholeAndTheSameEachTime) {
  make_mixed_tree([this](const std::string& name, const auto& bytes) { write(name, bytes); });
  std::atomic<uint64_t> entries{0};
  const TreeContents tree = walk_trees({tree_}, {}, entries);
  const CodecSet lz4(parse_codec("lz4"));
  const CodecSet zstd(parse_codec("zstd:3"));
  const std::vector<NamedCodec> codecs{{"lz4", lz4.writer()}, {"zstd:3", zstd.writer()}};
  const auto estimate_with = [&](Bytes budget) {
    std::atomic<Bytes> done{0};
    const SamplePlan plan = plan_sample(tree, budget);
    const SurveyResult survey = BlockSurvey(tree, plan, codecs).run({}, done);
    EXPECT_EQ(done, plan.chosen_total);
    EXPECT_EQ(plan.is_sample, plan.chosen_total < tree.data_total);
    return estimate_tree(tree, plan, survey, codecs);
  };
  const TreeEstimate whole = estimate_with(UINT64_MAX);
  EXPECT_NEAR(double(plan_sample(tree, 4 * kMiB).chosen_total), 4.0 * kMiB, 1.0 * kMiB);
  const TreeEstimate sample = estimate_with(4 * kMiB);
  const TreeEstimate again = estimate_with(4 * kMiB);
  for (size_t size = 0; size < kBlockSizes.size(); ++size) {
    EXPECT_EQ(sample.sizes[size].blocks, whole.sizes[size].blocks);
    for (size_t codec = 0; codec < codecs.size(); ++codec) {
      const auto stored = double(whole.sizes[size].codecs[codec].stored);
      EXPECT_NEAR(double(sample.sizes[size].codecs[codec].stored), stored, 0.1 * stored);
    }
  }
  EXPECT_NEAR(double(sample.total()), double(whole.total()), 0.1 * double(whole.total()));
  EXPECT_EQ(sample.total(), again.total());
}

TEST_F(Estimate, StopEndsItEarly) {
  write("a", text_bytes(kMiB, 1));
  std::stop_source stop;
  stop.request_stop();
  std::atomic<uint64_t> entries{0};
  EXPECT_EQ(walk_trees({tree_}, stop.get_token(), entries).files_found, 0U);
}

}  // namespace
}  // namespace ztmpfs
