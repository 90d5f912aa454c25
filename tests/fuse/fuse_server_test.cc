// One reply per request, whatever it is and whatever throws.
#include "fuse/fuse_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstring>
#include <new>
#include <stdexcept>

#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

// What opcodes() promise to be harmless with an argument of zeros and names.
void call_everything(FakeKernel& kernel) {
  for (uint32_t opcode = 1; opcode < kOpcodeCount; ++opcode) {
    const OpcodeInfo* info = opcode_info(opcode);
    if (info == nullptr || !info->answered) continue;
    std::vector<std::byte> argument(info->fixed_size);
    const auto names = make_names({"a", "b"});
    argument.insert(argument.end(), names.begin(), names.end());
    kernel.call(opcode, kRoot, argument);
  }
}

TEST(FuseServer, UnknownOpcodesAreUnsupported) {
  ServedVolume served;
  served.start();
  for (const uint32_t opcode : {7u, 63u, 64u, 999u, 4096u, 1u << 31})
    EXPECT_EQ(served.kernel().call(opcode, kRoot, {}).error, ENOSYS) << opcode;
}

TEST(FuseServer, TruncatedRequestsAreRefusedAndServingGoesOn) {
  ServedVolume served;
  served.start();
  EXPECT_EQ(served.kernel().call(FUSE_GETATTR, kRoot, {}).error, EIO);
  EXPECT_EQ(served.kernel().call(FUSE_LOOKUP, kRoot, make_argument(uint32_t(0x61616161))).error, EIO);
  auto short_header = served.kernel().make_request(FUSE_GETATTR, kRoot, {});
  short_header.resize(20);
  served.kernel().send_raw(short_header);
  EXPECT_TRUE(served.caller().getattr(kRoot));
}

TEST(FuseServer, ASecondInitIsRefused) {
  ServedVolume served;
  served.start();
  EXPECT_EQ(served.kernel().init().error, EIO);
  EXPECT_TRUE(served.caller().getattr(kRoot));
}

TEST(FuseServer, RequestsBeforeInitAreRefused) {
  ServedVolume served;
  served.connect();
  FuseServer server(served.kernel().server_fd(), served.volume(), busy_readers({}));
  std::thread thread([&] { server.run(); });
  EXPECT_EQ(served.kernel().call(FUSE_GETATTR, kRoot, make_argument(fuse_getattr_in{})).error, EIO);
  EXPECT_EQ(served.kernel().init().error, 0);
  EXPECT_TRUE(served.caller().getattr(kRoot));
  served.kernel().disconnect();
  thread.join();
}

TEST(FuseServer, EachRequestGetsOneReplyWhateverTheTreeThrows) {
  ServedVolume served;
  std::atomic<int> kind = 0;
  served.start(busy_readers({.before_execute =
                                 [&](uint32_t) {
                                   switch (kind) {
                                     case 1: throw std::bad_alloc();
                                     case 2: throw std::runtime_error("the tree is on fire");
                                     case 3: throw 42;
                                     default: break;
                                   }
                                 },
                             .after_reply = {}}));
  for (const int error : {0, ENOMEM, EIO, EIO}) {
    call_everything(served.kernel());
    const auto reply = served.kernel().call(FUSE_GETATTR, kRoot, make_argument(fuse_getattr_in{}));
    EXPECT_EQ(reply.error, error);
    ++kind;
  }
  EXPECT_EQ(served.kernel().late_replies(), 0u);
  EXPECT_EQ(served.kernel().contradictions(), std::vector<std::string>());
}

TEST(FuseServer, AForgetThatThrowsIsNotAnswered) {
  ServedVolume served;
  served.start(busy_readers({.before_execute =
                                 [&](uint32_t opcode) {
                                   if (opcode == FUSE_FORGET) throw std::bad_alloc();
                                 },
                             .after_reply = {}}));
  const uint64_t ino = served.caller().mkdir(kRoot, "directory", 0755)->nodeid;
  const fuse_forget_one item{.nodeid = ino, .nlookup = 1};
  served.kernel().forget({&item, 1}, false);
  while (served.server().forgets() == 0) std::this_thread::yield();
  EXPECT_TRUE(served.caller().getattr(kRoot));
  EXPECT_EQ(served.kernel().late_replies(), 0u);
}

// The kernel gives up interrupts when it hears ENOSYS for one (fs/fuse/dev.c, fuse_dev_do_write).
TEST(FuseServer, AnInterruptIsAnsweredWithEnosys) {
  ServedVolume served;
  served.start();
  auto request = served.kernel().make_request(FUSE_INTERRUPT, 0, make_argument(fuse_interrupt_in{.unique = 2}));
  fuse_in_header header{};
  std::memcpy(&header, request.data(), sizeof(header));
  header.unique |= 1;
  std::memcpy(request.data(), &header, sizeof(header));
  EXPECT_EQ(served.kernel().wait(served.kernel().send(request)).error, ENOSYS);
}

TEST(FuseServer, DestroyLeavesNoRequestUnanswered) {
  ServedVolume served;
  served.start();
  std::vector<uint64_t> uniques;
  for (int i = 0; i < 50; ++i) {
    if (i == 25) uniques.push_back(served.kernel().send(FUSE_DESTROY, 0, {}));
    uniques.push_back(served.kernel().send(FUSE_GETATTR, kRoot, make_argument(fuse_getattr_in{})));
  }
  for (const uint64_t unique : uniques) EXPECT_EQ(served.kernel().wait(unique).error, 0);
}

TEST(FuseServer, EndsWithTheConnectionAlthoughRequestsArePending) {
  ServedVolume served;
  served.start();
  for (int i = 0; i < 50; ++i) served.kernel().send(FUSE_GETATTR, kRoot, make_argument(fuse_getattr_in{}));
  served.stop();
}

TEST(FuseServer, CountsWhatItAnswered) {
  ServedVolume served;
  served.start();
  const FakeCaller caller = served.caller();
  const uint64_t ino = caller.create(kRoot, "file", S_IFREG | 0644, O_RDWR)->nodeid;
  caller.lookup(kRoot, "file");
  caller.lookup(kRoot, "nothing");
  caller.getattr(ino);
  served.kernel().call(FUSE_OPEN, ino, make_argument(fuse_open_in{}));
  served.kernel().call(FUSE_DESTROY, 0, {});
  const fuse_forget_one item{.nodeid = ino, .nlookup = 2};
  served.kernel().forget({&item, 1}, true);
  while (served.server().forgets() == 0) std::this_thread::yield();
  const std::map<std::string, uint64_t> expected{{"CREATE", 1}, {"LOOKUP", 2}, {"GETATTR", 1}, {"OPEN", 1}};
  EXPECT_EQ(served.server().request_counts(), expected);
  served.stop();
  served.start();
  EXPECT_EQ(served.server().request_counts(), expected) << "the next server goes on counting";
  EXPECT_EQ(served.server().forgets(), 1u);
}

TEST(FuseServer, TakesRequestsFromManyThreads) {
  ServedVolume served;
  served.start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const FakeCaller caller = served.caller();
      for (int i = 0; i < 100; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        const auto made = caller.create(kRoot, name, S_IFREG | 0644, O_RDWR);
        ASSERT_TRUE(made);
        ASSERT_EQ(caller.write(made->nodeid, 0, std::as_bytes(std::span(name))), name.size());
        ASSERT_EQ(caller.read(made->nodeid, 0, 100)->size(), name.size());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(served.caller().list(kRoot, false)->size(), 400u);
}

TEST(FuseServer, AsksForAtMostTheReadersThatTheImageHasSlotsFor) {
  ServedVolume served;
  served.connect();
  for (const uint32_t readers : {0u, 3u})
    EXPECT_THROW(
        FuseServer(served.kernel().server_fd(), served.volume(), {.readers = readers, .on_ready = {}, .hooks = {}}),
        std::invalid_argument);
}

TEST(FuseServer, ChargesItsBuffers) {
  ServedVolume served;
  const Bytes before = served.volume().budget().used();
  served.start();
  EXPECT_GE(served.volume().budget().used(), before + 2 * FakeKernel::kBufferSize);
  served.stop();
  EXPECT_EQ(served.volume().budget().used(), before);
}

}  // namespace
}  // namespace ztmpfs
