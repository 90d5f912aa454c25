// What the kernel was answered when the connection began holds for every server of it.
#include "fuse/negotiation.h"

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <thread>

#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

fuse_init_out sample() {
  fuse_init_out reply{};
  reply.major = 7;
  reply.minor = 38;
  reply.max_readahead = 131072;
  reply.flags = 0x800;
  reply.max_write = 1048576;
  reply.max_pages = 256;
  return reply;
}

Negotiation negotiation_of(const fuse_init_out& reply) {
  Negotiation negotiation;
  negotiation.set_reply(std::as_bytes(std::span(&reply, 1)));
  return negotiation;
}

TEST(Negotiation, ThatIsTheSameHasNoDifference) {
  EXPECT_EQ(describe_difference(negotiation_of(sample()), negotiation_of(sample())), "");
}

TEST(Negotiation, NamesEachFieldThatDiffers) {
  fuse_init_out other = sample();
  other.max_write = 131072;
  other.max_readahead = 0;
  other.flags = 0x801;
  EXPECT_EQ(describe_difference(negotiation_of(sample()), negotiation_of(other)),
            "max_readahead (131072 then, 0 now), flags (0x800 then, 0x801 now), max_write (1048576 then, 131072 now)");
  other = sample();
  other.flags2 = 1;
  other.max_pages = 32;
  other.max_background = 12;
  EXPECT_EQ(describe_difference(negotiation_of(sample()), negotiation_of(other)),
            "flags2 (0x0 then, 0x1 now), max_background (0 then, 12 now), max_pages (256 then, 32 now)");
}

TEST(Negotiation, NamesWhatTheReplyDoesNotTell) {
  Negotiation with_xattr = negotiation_of(sample());
  with_xattr.has_xattr = 1;
  EXPECT_EQ(describe_difference(negotiation_of(sample()), with_xattr), "xattr (0 then, 1 now)");
}

TEST(Negotiation, SeesFieldsThatHaveNoName) {
  fuse_init_out other = sample();
  other.unused[6] = 1;
  EXPECT_NE(describe_difference(negotiation_of(sample()), negotiation_of(other)), "");
  Negotiation longer = negotiation_of(sample());
  longer.reply_length += 4;
  EXPECT_NE(describe_difference(negotiation_of(sample()), longer), "");
}

TEST(Negotiation, TakesNoMoreThanItHasRoomFor) {
  Negotiation negotiation;
  negotiation.set_reply(std::vector<std::byte>(1000, std::byte(1)));
  EXPECT_EQ(negotiation.reply_length, Negotiation::kReplyMax);
}

class NegotiationOfAConnection : public testing::Test {
 protected:
  ReaderRecord& record() { return RequestSlot(served_.volume().image(), 0).reader(); }

  // What a successor on a new connection says that does not want to serve it.
  std::string refusal(FuseServer::Options options = busy_readers()) {
    served_.connect();
    FuseServer server(served_.kernel().server_fd(), served_.volume(), std::move(options));
    server.park();  // not to serve, should it take the connection up
    try {
      server.run();
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  ServedVolume served_;
};

TEST_F(NegotiationOfAConnection, IsKeptAsItWasAnswered) {
  served_.connect();
  FuseServer server(served_.kernel().server_fd(), served_.volume(), busy_readers());
  std::thread thread([&] { server.run(); });
  const auto reply = served_.kernel().init();
  EXPECT_EQ(reply.error, 0);
  EXPECT_EQ(record().has_negotiation, 1u);
  ASSERT_EQ(record().negotiation.reply_length, reply.body.size());
  EXPECT_EQ(std::memcmp(record().negotiation.reply.data(), reply.body.data(), reply.body.size()), 0);
  EXPECT_EQ(record().negotiation.has_xattr, 1u);
  served_.kernel().disconnect();
  thread.join();
}

TEST_F(NegotiationOfAConnection, ASuccessorThatWouldAgreeToSomethingElseDoesNotServe) {
  served_.start();
  served_.stop();
  FuseServer::Options with_acl = busy_readers();
  with_acl.features.acl = true;
  std::string sentence = refusal(with_acl);
  EXPECT_NE(sentence.find("cannot be changed"), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("flags ("), std::string::npos) << sentence;
  FuseServer::Options without_xattr = busy_readers();
  without_xattr.features.xattr = false;
  sentence = refusal(without_xattr);
  EXPECT_NE(sentence.find("xattr (1 then, 0 now)"), std::string::npos) << sentence;
  reinterpret_cast<fuse_init_out*>(record().negotiation.reply.data())->max_write += 4096;
  sentence = refusal();
  EXPECT_NE(sentence.find("max_write ("), std::string::npos) << sentence;
  EXPECT_EQ(sentence.find("flags"), std::string::npos) << sentence;
}

TEST_F(NegotiationOfAConnection, MayBeAnotherOneOnceTheConnectionWasDropped) {
  served_.start();
  served_.drop_connection();
  FuseServer::Options with_acl = busy_readers();
  with_acl.features.acl = true;
  served_.start(with_acl);
  EXPECT_TRUE(served_.caller().getattr(kRoot));
}

// Killed just before the reply, or just behind it.
TEST_F(NegotiationOfAConnection, WhatWasKeptButPerhapsNotSentIsSent) {
  served_.start();
  served_.stop();
  const Negotiation kept = record().negotiation;
  served_.connect();
  const auto request = served_.kernel().make_request(FUSE_INIT, 0, init_argument());
  served_.leave_request(0, request);
  const uint64_t unique = served_.kernel().expect(request);
  served_.serve();
  const auto reply = served_.kernel().wait(unique);
  EXPECT_EQ(reply.error, 0);
  ASSERT_EQ(reply.body.size(), kept.reply_length);
  EXPECT_EQ(std::memcmp(kept.reply.data(), reply.body.data(), reply.body.size()), 0);
}

}  // namespace
}  // namespace ztmpfs
