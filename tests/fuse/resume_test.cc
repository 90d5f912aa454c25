// What a server that died has left is finished by the next one: once, with the same answer.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>

#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

fuse_entry_out entry_of(const FakeKernel::Reply& reply) {
  fuse_entry_out entry{};
  EXPECT_EQ(reply.error, 0);
  EXPECT_GE(reply.body.size(), sizeof(entry));
  if (reply.body.size() >= sizeof(entry)) std::memcpy(&entry, reply.body.data(), sizeof(entry));
  return entry;
}

// A volume whose first server has begun the connection and ended.
class Resume : public testing::Test {
 protected:
  Resume() {
    served_.start();
    file_ = served_.caller().create(kRoot, "file", S_IFREG | 0644, O_RDWR)->nodeid;
    served_.stop();
    served_.connect();
  }

  FakeKernel& kernel() { return served_.kernel(); }
  FileSystem& fs() { return served_.volume().fs(); }

  // Leaves the request in a slot; the successor's reply can be waited for.
  uint64_t leave(uint32_t slot, uint32_t opcode, uint64_t nodeid, std::span<const std::byte> argument) {
    const auto request = kernel().make_request(opcode, nodeid, argument);
    served_.leave_request(slot, request);
    return kernel().expect(request);
  }

  ServedVolume served_;
  uint64_t file_ = 0;
};

TEST_F(Resume, TheSavedInitIsReplayedWithoutAReply) {
  served_.serve();
  EXPECT_TRUE(served_.caller().getattr(kRoot));
  EXPECT_EQ(kernel().late_replies(), 0u);
}

TEST_F(Resume, TheKernelIsAskedToResendAndMarkedRequestsAreAnswered) {
  served_.serve();
  auto request = kernel().make_request(FUSE_GETATTR, kRoot, make_argument(fuse_getattr_in{}));
  const uint64_t mark = 1ull << 63;  // FUSE_UNIQUE_RESEND of linux/fuse.h since protocol 7.40
  fuse_in_header header{};
  std::memcpy(&header, request.data(), sizeof(header));
  header.unique |= mark;
  std::memcpy(request.data(), &header, sizeof(header));
  EXPECT_EQ(kernel().wait(kernel().send(request)).error, 0);
  EXPECT_EQ(kernel().resend_notifications(), 1u);
}

TEST_F(Resume, ARequestThatWasOnlyReadIsExecuted) {
  const uint64_t unique = leave(1, FUSE_MKDIR, kRoot, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 0}, {"new"}));
  served_.serve();
  const auto entry = entry_of(kernel().wait(unique));
  EXPECT_EQ(served_.caller().lookup(kRoot, "new")->nodeid, entry.nodeid);
}

TEST_F(Resume, ARequestWithAnOutcomeIsAnsweredButNotExecuted) {
  Operation operation = served_.operation(0);
  const auto made = fs().mkdir(operation, kRoot, "new", 0755);
  ASSERT_TRUE(made);
  const uint64_t unique = leave(0, FUSE_MKDIR, kRoot, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 0}, {"new"}));
  served_.serve();
  EXPECT_EQ(entry_of(kernel().wait(unique)).nodeid, made->ino);
  EXPECT_EQ(fs().directories(), 2u);
}

TEST_F(Resume, AnOldWriteDoesNotOverwriteANewerOne) {
  Operation old = served_.operation(0);
  ASSERT_EQ(fs().write(old, file_, 0, bytes("old")), 3u);
  fuse_write_in argument{};
  argument.size = 3;
  auto request = make_argument(argument);
  for (const std::byte b : bytes("old")) request.push_back(b);
  const uint64_t unique = leave(0, FUSE_WRITE, file_, request);
  Operation newer = served_.operation(1);
  ASSERT_EQ(fs().write(newer, file_, 0, bytes("new")), 3u);
  newer.end();
  served_.serve();
  const auto reply = kernel().wait(unique);
  fuse_write_out out{};
  ASSERT_EQ(reply.body.size(), sizeof(out));
  std::memcpy(&out, reply.body.data(), sizeof(out));
  EXPECT_EQ(out.size, 3u);
  EXPECT_EQ(served_.caller().read(file_, 0, 10), bytes("new"));
}

TEST_F(Resume, AnErrorStaysAnErrorAlthoughTheRequestWouldSucceedNow) {
  // Found nothing, was answered; then the name was made by another reader; then the server died.
  Operation operation = served_.operation(0);
  Transaction nothing = operation.begin();
  operation.commit(nothing, {.kind = Outcome::kError, .unused = 0, .value = ENOENT, .attr = {}});
  const uint64_t unique = leave(0, FUSE_UNLINK, kRoot, make_names({"file"}));
  served_.serve();
  EXPECT_EQ(kernel().wait(unique).error, ENOENT);
  EXPECT_TRUE(served_.caller().lookup(kRoot, "file"));
}

TEST_F(Resume, ErrorsAreRecordedBeforeTheyAreAnswered) {
  std::atomic<uint32_t> recorded = 0;
  const auto look = [&](uint32_t opcode) {
    if (opcode != FUSE_UNLINK) return;
    for (uint32_t slot = 0; slot < 2; ++slot)
      if (served_.operation(slot).has_outcome()) recorded = served_.operation(slot).outcome().kind;
  };
  served_.serve(busy_readers({.before_execute = {}, .after_reply = look}));
  EXPECT_EQ(kernel().call(FUSE_UNLINK, kRoot, make_names({"nothing"})).error, ENOENT);
  while (recorded == 0) std::this_thread::yield();
  EXPECT_EQ(recorded, uint32_t(Outcome::kError));
}

TEST_F(Resume, AnInterruptedReaddirplusSendsTheEntriesThatWereCounted) {
  Operation make = served_.operation(1);
  for (const char* name : {"a", "b", "c"}) {
    ASSERT_TRUE(fs().mknod(make, kRoot, name, S_IFREG | 0644, 0));
    make.end();
  }
  // The first server counts lookups of some entries, whose bytes stand in the buffer, and dies.
  std::atomic<bool> died = false;
  served_.serve(busy_readers({.before_execute = {}, .after_reply = [&](uint32_t) { died = true; }}));
  fuse_read_in argument{};
  argument.size = 400;
  const auto request = kernel().make_request(FUSE_READDIRPLUS, kRoot, make_argument(argument));
  const auto first = kernel().wait(kernel().send(request));
  while (!died) std::this_thread::yield();
  served_.stop();
  const auto entries = parse_entries(first.body, true);
  ASSERT_GE(entries.size(), 1u);
  const uint32_t slot =
      std::memcmp(served_.volume().image().buffer(0).base() + kPageSize, first.body.data(), first.body.size()) == 0 ? 0
                                                                                                                    : 1;
  Operation operation = served_.operation(slot);
  Transaction nothing = operation.begin();
  operation.commit(nothing, {.kind = Outcome::kBytes, .unused = 0, .value = first.body.size(), .attr = {}});
  served_.connect();
  served_.leave_request(slot, request);
  const uint64_t unique = kernel().expect(request);
  served_.serve();
  EXPECT_EQ(kernel().wait(unique).body, first.body);
}

TEST_F(Resume, ABatchOfForgetsGoesOnBehindTheItemsDone) {
  Operation make = served_.operation(1);
  const auto a = fs().mknod(make, kRoot, "a", S_IFREG | 0644, 0);
  make.end();
  const auto b = fs().mknod(make, kRoot, "b", S_IFREG | 0644, 0);
  make.end();
  ASSERT_TRUE(fs().lookup(make, kRoot, "a"));  // a second lookup, which a repeated FORGET would take away
  make.end();
  const std::array<Forget, 1> done{{{.ino = a->ino, .lookups = 1}}};
  Operation operation = served_.operation(0);
  fs().forget(operation, done);
  const fuse_batch_forget_in head{.count = 2, .dummy = 0};
  auto argument = make_argument(head);
  for (const uint64_t ino : {a->ino, b->ino}) {
    const auto item = make_argument(fuse_forget_one{.nodeid = ino, .nlookup = 1});
    argument.insert(argument.end(), item.begin(), item.end());
  }
  leave(0, FUSE_BATCH_FORGET, 0, argument);
  served_.serve();
  const FakeCaller caller = served_.caller();
  ASSERT_TRUE(caller.unlink(kRoot, "a"));
  ASSERT_TRUE(caller.unlink(kRoot, "b"));
  EXPECT_TRUE(caller.getattr(a->ino)) << "forgotten once too often";
  EXPECT_EQ(caller.getattr(b->ino).error(), std::errc(ESTALE)) << "not forgotten";
}

TEST_F(Resume, ARequestThatEndsTheServerAgainAndAgainIsGivenUp) {
  const uint64_t unique = leave(0, FUSE_MKDIR, kRoot, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 0}, {"new"}));
  request_record(served_.volume().image(), 0).attempts = 2;
  served_.serve();
  EXPECT_EQ(kernel().wait(unique).error, EIO);
  EXPECT_EQ(fs().directories(), 1u);
  served_.stop();  // a reply comes before the end of its request
  EXPECT_EQ(request_record(served_.volume().image(), 0).attempts, 0u);
}

TEST_F(Resume, AttemptsOfARequestThatIsGoneAreNotCountedForTheNext) {
  for (const uint32_t slot : {0u, 1u}) request_record(served_.volume().image(), slot).attempts = 2;
  served_.serve();
  EXPECT_TRUE(served_.caller().getattr(kRoot));  // takes one of them
  served_.stop();
  for (const uint32_t slot : {0u, 1u}) EXPECT_EQ(request_record(served_.volume().image(), slot).attempts, 0u);
}

TEST_F(Resume, AnOutcomeTellsTheBlocksThatThereAreNow) {
  Operation write = served_.operation(1);
  ASSERT_EQ(fs().write(write, file_, 0, std::vector<std::byte>(kMiB)), kMiB);
  write.end();
  Operation operation = served_.operation(0);
  const auto recorded = fs().setattr(operation, file_, {.fields = SetAttr::kMode, .mode = 0600});
  ASSERT_GT(recorded->blocks, 0u);
  Operation cut = served_.operation(1);
  ASSERT_TRUE(fs().setattr(cut, file_, {.fields = SetAttr::kSize, .size = 0}));
  cut.end();
  const uint64_t unique = leave(0, FUSE_SETATTR, file_, make_argument(fuse_setattr_in{}));
  served_.serve();
  const auto reply = kernel().wait(unique);
  fuse_attr_out answer{};
  ASSERT_EQ(reply.body.size(), sizeof(answer));
  std::memcpy(&answer, reply.body.data(), sizeof(answer));
  EXPECT_EQ(answer.attr.mode & 07777, 0600u);
  EXPECT_EQ(answer.attr.blocks, 0u);
}

TEST_F(Resume, AnOutcomeIsSentHoweverOftenItWasTried) {
  Operation operation = served_.operation(0);
  const auto made = fs().mkdir(operation, kRoot, "new", 0755);
  const uint64_t unique = leave(0, FUSE_MKDIR, kRoot, make_argument(fuse_mkdir_in{.mode = 0755, .umask = 0}, {"new"}));
  request_record(served_.volume().image(), 0).attempts = 7;
  served_.serve();
  EXPECT_EQ(entry_of(kernel().wait(unique)).nodeid, made->ino);
}

TEST_F(Resume, AnOutcomeWhoseRequestIsGoneIsForgotten) {
  Operation operation = served_.operation(0);
  ASSERT_TRUE(fs().mkdir(operation, kRoot, "new", 0755));
  served_.serve();
  const auto next = served_.caller().mkdir(kRoot, "next", 0755);
  ASSERT_TRUE(next);
  EXPECT_EQ(served_.caller().lookup(kRoot, "next")->nodeid, next->nodeid);
}

TEST(ResumeOfTheBeginning, AnInitThatWasReadButPerhapsNotAnsweredIsAnswered) {
  ServedVolume served;
  served.connect();
  fuse_init_in argument{};
  argument.major = FUSE_KERNEL_VERSION;
  argument.minor = FUSE_KERNEL_MINOR_VERSION;
  const auto request = served.kernel().make_request(FUSE_INIT, 0, make_argument(argument));
  served.leave_request(0, request);
  const uint64_t unique = served.kernel().expect(request);
  FuseServer server(served.kernel().server_fd(), served.volume(), busy_readers());
  std::thread thread([&] { server.run(); });
  EXPECT_EQ(served.kernel().wait(unique).error, 0);
  EXPECT_TRUE(served.caller().getattr(kRoot));
  served.kernel().disconnect();
  thread.join();
}

}  // namespace
}  // namespace ztmpfs
