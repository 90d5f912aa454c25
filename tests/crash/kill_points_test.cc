// Each operation is killed at each of its durable stores, and finished by a second server: with one reply, and
// everything as if it had run once. To half of these kills comes one more, somewhere within the recovery.
#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cstring>
#include <iostream>

#include "fuse/connection_end.h"
#include "tests/crash/kill_rig.h"
#include "tests/crash/kill_scenarios.h"
#include "tests/support/fake_kernel.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;
constexpr uint64_t kBlock = KillScenario::kBlockSize;

// Of many points those in the middle are alike: block after block. A share of them has to do.
uint64_t next_point(uint64_t point, uint64_t points) {
  constexpr uint64_t kAllOf = 50;
  constexpr uint64_t kShare = 7;
  return point + (point > kAllOf && point + kAllOf + kShare < points ? kShare : 1);
}

// Compares what servers that died came to with what one did that lived.
class Judge {
 public:
  using Attempt = std::function<KillRun(const std::vector<uint64_t>& deaths)>;

  explicit Judge(const std::string& name) : name_(name) {}

  // A run that nothing disturbed; the first one counts.
  void permit(const KillRun& run) {
    ASSERT_EQ(run.failure, "");
    ASSERT_EQ(run.dump.find("breach"), run.dump.npos) << run.dump;
    permitted_.push_back(run);
  }

  // Kills it everywhere.
  void kill(const Attempt& attempt) const {
    if (permitted_.empty()) return;
    const uint64_t points = permitted_[0].points;
    for (uint64_t point = 1; point <= points && !testing::Test::HasFailure(); point = next_point(point, points)) {
      const KillRun once = attempt({point});
      const std::string when = "killed at point " + std::to_string(point) + " of " + std::to_string(points);
      expect_permitted(once, when);
      if (once.points == 0 || point % 2 == 0) continue;
      const uint64_t again = 1 + point * 7919 % once.points;
      expect_permitted(attempt({point, again}), when + ", and again in the recovery at " + std::to_string(again) +
                                                    " of " + std::to_string(once.points));
    }
    std::cout << name_ << ": " << points << " points\n";
  }

 private:
  void expect_permitted(const KillRun& run, const std::string& when) const {
    EXPECT_EQ(run.failure, "") << when;
    EXPECT_EQ(run.replies.empty(), permitted_[0].replies.empty()) << when;
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

  const std::string name_;
  std::vector<KillRun> permitted_;
};

// Of an answer to SETATTR.
void hide_blocks(std::vector<std::byte>& body) {
  fuse_attr_out answer{};
  ASSERT_EQ(body.size(), sizeof(answer));
  std::memcpy(&answer, body.data(), sizeof(answer));
  answer.attr.blocks = 0;
  std::memcpy(body.data(), &answer, sizeof(answer));
}

class KillPointsOf : public testing::TestWithParam<KillScenario> {};

TEST_P(KillPointsOf, AreAllSurvived) {
  const KillScenario& scenario = GetParam();
  FsRig stage(64 * kMiB, scenario.logical, KillScenario::geometry());
  const KillRequest request = scenario.prepare(stage);
  KillRig rig(stage.files(), stage.options(), stage.clock());
  if (scenario.is_settled) rig.settle_at_the_end();
  Judge judge(scenario.name);
  const auto serve = [&](const std::vector<uint64_t>& deaths) {
    KillRun run = rig.serve(request, deaths);
    if (!scenario.has_exact_blocks)
      for (KillRun::Reply& reply : run.replies) hide_blocks(reply.body);
    return run;
  };
  const KillRun whole = serve({});
  ASSERT_EQ(whole.replies.size(), scenario.is_answered ? 1U : 0U) << whole.failure;
  if (scenario.is_answered) {
    ASSERT_EQ(whole.replies[0].error, scenario.error);
  }
  judge.permit(whole);
  if (scenario.alternatives)
    for (const KillRequest& other : scenario.alternatives(request)) judge.permit(rig.serve(other, {}));
  judge.kill(serve);
}

std::string name_of(const testing::TestParamInfo<KillScenario>& info) { return info.param.name; }
auto all(std::span<const KillScenario> scenarios) { return testing::ValuesIn(scenarios.begin(), scenarios.end()); }

INSTANTIATE_TEST_SUITE_P(NamesThatCome, KillPointsOf, all(names_that_come()), name_of);
INSTANTIATE_TEST_SUITE_P(NamesThatGo, KillPointsOf, all(names_that_go()), name_of);
INSTANTIATE_TEST_SUITE_P(Renames, KillPointsOf, all(renames()), name_of);
INSTANTIATE_TEST_SUITE_P(Writes, KillPointsOf, all(writes()), name_of);
INSTANTIATE_TEST_SUITE_P(Cuts, KillPointsOf, all(cuts()), name_of);
INSTANTIATE_TEST_SUITE_P(Ranges, KillPointsOf, all(ranges()), name_of);
INSTANTIATE_TEST_SUITE_P(Copies, KillPointsOf, all(copies()), name_of);
INSTANTIATE_TEST_SUITE_P(Attributes, KillPointsOf, all(attributes()), name_of);
INSTANTIATE_TEST_SUITE_P(Failures, KillPointsOf, all(failures()), name_of);

// What happens without a request: whoever lives does it from its beginning.
class KillPointsWithoutRequests : public testing::Test {
 protected:
  void expect_survival(const std::function<void(Volume&)>& body) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    const KillRig rig(stage_.files(), stage_.options(), stage_.clock());
    Judge judge(test->name());
    judge.permit(rig.work(body, {}));
    judge.kill([&](const std::vector<uint64_t>& deaths) { return rig.work(body, deaths); });
  }

  InodeRecord& inode_record(uint64_t ino) {
    constexpr uint64_t kPerPage = kPageSize / sizeof(InodeRecord);
    const uint64_t index = ino_index(ino);
    const Region table = stage_.volume().image().region(RegionId::kInodes);
    return reinterpret_cast<InodeRecord*>(table.base() + index / kPerPage * kPageSize)[index % kPerPage];
  }

  FsRig stage_{64 * kMiB, 0, KillScenario::geometry()};
};

TEST_F(KillPointsWithoutRequests, TheFirstAttachment) {
  const ImageFiles fresh = ImageFiles::create(KillScenario::geometry());
  KillRig rig(fresh, stage_.options(), stage_.clock());
  rig.expect_init();
  rig.count_from_start();
  const auto body = [](Volume& volume) { ASSERT_TRUE(volume.fs().getattr(kRoot)); };
  Judge judge("TheFirstAttachment");
  judge.permit(rig.work(body, {}));
  judge.kill([&](const std::vector<uint64_t>& deaths) { return rig.work(body, deaths); });
}

TEST_F(KillPointsWithoutRequests, TheBeginningOfTheConnection) {
  KillRig rig(stage_.files(), stage_.options(), stage_.clock());
  rig.expect_init();
  rig.count_from_start();
  const KillRequest init{FUSE_INIT, 0, init_argument()};
  Judge judge("TheBeginningOfTheConnection");
  judge.permit(rig.serve(init, {}));
  judge.kill([&](const std::vector<uint64_t>& deaths) { return rig.serve(init, deaths); });
}

// One open block of each kind: to be compressed, filled by one word, and not to be compressed.
TEST_F(KillPointsWithoutRequests, Sealing) {
  file_in(stage_, kRoot, "f", text(kBlock) + std::string(kBlock, 'x') + noise(kBlock) + text(100));
  expect_survival([](Volume& volume) { volume.store().seal(100, true, Effort::kThorough); });
}

TEST_F(KillPointsWithoutRequests, SealingOfWhatIsReserved) {
  const uint64_t ino = file_in(stage_, kRoot, "f", text(kBlock) + std::string(kBlock, 'x'));
  ASSERT_TRUE(stage_.fallocate(ino, 0, 0, 2 * kBlock));
  expect_survival([](Volume& volume) { volume.store().seal(100, true, Effort::kThorough); });
}

TEST_F(KillPointsWithoutRequests, CompressingAgain) {
  std::string lines;
  for (int i = 0; lines.size() < 2 * kBlock; ++i) lines += "line " + std::to_string(i * i) + "\n";
  file_in(stage_, kRoot, "f", lines.substr(0, 2 * kBlock));
  stage_.volume().store().seal(100, true, Effort::kFast);
  ASSERT_GT(stage_.volume().store().recompress_backlog(), 0U);
  expect_survival([](Volume& volume) { volume.store().recompress(100, true); });
}

TEST_F(KillPointsWithoutRequests, PurgingAndGivingBackMemory) {
  const uint64_t removed = file_in(stage_, kRoot, "removed", text(6 * kBlock));
  const uint64_t cut = file_in(stage_, kRoot, "cut", std::string(3 * kMiB / 2, 'x'));
  ASSERT_TRUE(stage_.set_xattr(removed, "user.a", "1"));
  stage_.volume().settle();
  ASSERT_TRUE(stage_.unlink(kRoot, "removed"));
  ASSERT_TRUE(stage_.truncate(cut, 10));
  // As if the request that forgot it had died then.
  InodeRecord& inode = inode_record(removed);
  inode.lookups = 0;
  expect_survival([](Volume& volume) {
    while (volume.fs().purge_step()) continue;
    volume.pool().release_free_spans(kGiB);
  });
}

// Objects of one class in many spans, most of them gone.
TEST_F(KillPointsWithoutRequests, Compaction) {
  for (int i = 0; i < 200; ++i) file_in(stage_, kRoot, std::to_string(i), text(500, uint32_t(i)));
  stage_.volume().settle();
  for (int i = 0; i < 200; ++i) {
    if (i % 5 == 0) continue;
    const uint64_t ino = stage_.lookup(kRoot, std::to_string(i))->ino;
    ASSERT_TRUE(stage_.unlink(kRoot, std::to_string(i)));
    stage_.forget(ino, 2);
  }
  ASSERT_GT(stage_.volume().pool().compactable(), 0U);
  expect_survival([](Volume& volume) { volume.pool().compact(); });
}

TEST_F(KillPointsWithoutRequests, ForgettingAtTheEndOfTheConnection) {
  file_in(stage_, kRoot, "stays", text(100));
  const uint64_t goes = file_in(stage_, kRoot, "goes", text(2 * kBlock));
  ASSERT_TRUE(stage_.set_xattr(goes, "user.a", "1"));
  ASSERT_TRUE(stage_.unlink(kRoot, "goes"));
  expect_survival([](Volume& volume) { drop_connection(volume); });
}

TEST_F(KillPointsWithoutRequests, ChangingOptions) {
  stage_.volume().image().header().changed_options.store("size=1");
  expect_survival([](Volume& volume) { volume.image().header().changed_options.store("size=2"); });
}

}  // namespace
}  // namespace ztmpfs
