// What libfuse's decoder trusts is checked before it: lengths, terminators, counts.
#include "fuse/request_check.h"

#include <gtest/gtest.h>
#include <linux/fuse.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "fuse/opcodes.h"

namespace ztmpfs {
namespace {

constexpr size_t kCapacity = 65536;
constexpr RequestFeatures kXattrs{.xattr = true};

std::vector<std::byte> make_request(uint32_t opcode, std::string_view argument) {
  fuse_in_header header{};
  header.len = uint32_t(sizeof(header) + argument.size());
  header.opcode = opcode;
  header.unique = 2;
  std::vector<std::byte> request(header.len);
  std::memcpy(request.data(), &header, sizeof(header));
  std::memcpy(request.data() + sizeof(header), argument.data(), argument.size());
  return request;
}

template <class T>
std::string bytes_of(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

TEST(RequestCheck, LessThanAHeaderCannotBeAnswered) {
  auto request = make_request(FUSE_LOOKUP, std::string_view("x\0", 2));
  for (size_t length = 0; length < sizeof(fuse_in_header); ++length)
    EXPECT_EQ(check_request(std::span(request).first(length), kCapacity), RequestVerdict::kDrop) << length;
}

TEST(RequestCheck, ARequestWithoutAnIdCannotBeAnswered) {
  auto request = make_request(FUSE_GETATTR, bytes_of(fuse_getattr_in{}));
  const uint64_t none = 0;
  std::memcpy(request.data() + offsetof(fuse_in_header, unique), &none, sizeof(none));
  EXPECT_EQ(check_request(request, kCapacity), RequestVerdict::kDrop);
}

TEST(RequestCheck, TheHeaderMustTellTheLength) {
  auto request = make_request(FUSE_LOOKUP, std::string_view("x\0", 2));
  EXPECT_EQ(check_request(request, kCapacity), RequestVerdict::kServe);
  request.push_back(std::byte(0));
  EXPECT_EQ(check_request(request, kCapacity), RequestVerdict::kMalformed);
}

TEST(RequestCheck, EachArgumentMustBeThereInFull) {
  for (uint32_t opcode = 0; opcode < kOpcodeCount; ++opcode) {
    const OpcodeInfo* info = opcode_info(opcode);
    if (info == nullptr || !info->served || info->fixed_size == 0) continue;
    const std::string argument(info->fixed_size - 1u, '\0');
    const auto expected = info->answered ? RequestVerdict::kMalformed : RequestVerdict::kDrop;
    EXPECT_EQ(check_request(make_request(opcode, argument), kCapacity, kXattrs), expected) << info->name;
    const std::string names(info->names * 2u, '\0');
    EXPECT_EQ(check_request(make_request(opcode, argument + '\0' + names), kCapacity, kXattrs), RequestVerdict::kServe)
        << info->name;
  }
}

TEST(RequestCheck, EachNameMustBeTerminated) {
  EXPECT_EQ(check_request(make_request(FUSE_LOOKUP, "name"), kCapacity), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(make_request(FUSE_SYMLINK, std::string_view("name\0target", 11)), kCapacity),
            RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(make_request(FUSE_SYMLINK, std::string_view("name\0target\0", 12)), kCapacity),
            RequestVerdict::kServe);
}

TEST(RequestCheck, AWriteMustBringItsData) {
  fuse_write_in argument{};
  argument.size = 4;
  EXPECT_EQ(check_request(make_request(FUSE_WRITE, bytes_of(argument) + "abc"), kCapacity), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(make_request(FUSE_WRITE, bytes_of(argument) + "abcd"), kCapacity), RequestVerdict::kServe);
}

TEST(RequestCheck, ABatchOfForgetsMustBringItsItems) {
  const fuse_batch_forget_in two{.count = 2, .dummy = 0};
  const fuse_forget_one item{.nodeid = 5, .nlookup = 1};
  EXPECT_EQ(check_request(make_request(FUSE_BATCH_FORGET, bytes_of(two) + bytes_of(item)), kCapacity),
            RequestVerdict::kDrop);
  EXPECT_EQ(check_request(make_request(FUSE_BATCH_FORGET, bytes_of(two) + bytes_of(item) + bytes_of(item)), kCapacity),
            RequestVerdict::kServe);
}

TEST(RequestCheck, ASetxattrMustBringItsValue) {
  const auto request = [](std::initializer_list<uint32_t> argument, const std::string& rest) {
    return make_request(
        FUSE_SETXATTR,
        std::string(reinterpret_cast<const char*>(std::data(argument)), argument.size() * sizeof(uint32_t)) + rest);
  };
  const std::string name("user.a\0", 7);
  EXPECT_EQ(check_request(request({4, 0}, name + "abc"), kCapacity, kXattrs), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(request({4, 0}, name + "abcd"), kCapacity, kXattrs), RequestVerdict::kServe);
  EXPECT_EQ(check_request(request({~0u, 0}, name + "abcd"), kCapacity, kXattrs), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(request({0, 0}, "user.a"), kCapacity, kXattrs), RequestVerdict::kMalformed);
  // With the longer argument the name begins later.
  constexpr RequestFeatures kLong{.xattr = true, .acl = true, .long_setxattr = true};
  EXPECT_EQ(check_request(request({4, 0}, name + "abcd"), kCapacity, kLong), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(request({4, 0, 1, 0}, name + "abcd"), kCapacity, kLong), RequestVerdict::kServe);
  EXPECT_EQ(check_request(request({5, 0, 1, 0}, name + "abcd"), kCapacity, kLong), RequestVerdict::kMalformed);
}

TEST(RequestCheck, XattrsMustFitTheReplyBuffer) {
  for (const uint32_t opcode : {FUSE_GETXATTR, FUSE_LISTXATTR}) {
    fuse_getxattr_in argument{.size = kCapacity, .padding = 0};
    const std::string name("user.a\0", 7);
    EXPECT_EQ(check_request(make_request(opcode, bytes_of(argument) + name), kCapacity, kXattrs),
              RequestVerdict::kServe);
    EXPECT_EQ(check_request(make_request(opcode, bytes_of(argument) + name), kCapacity), RequestVerdict::kUnsupported);
    ++argument.size;
    EXPECT_EQ(check_request(make_request(opcode, bytes_of(argument) + name), kCapacity, kXattrs),
              RequestVerdict::kMalformed);
  }
}

TEST(RequestCheck, AnIoctlBringsTheBytesItSpeaksOf) {
  fuse_ioctl_in argument{};
  argument.in_size = 4;
  EXPECT_EQ(check_request(make_request(FUSE_IOCTL, bytes_of(argument) + "123"), kCapacity), RequestVerdict::kMalformed);
  EXPECT_EQ(check_request(make_request(FUSE_IOCTL, bytes_of(argument) + "1234"), kCapacity), RequestVerdict::kServe);
}

TEST(RequestCheck, AReadMustFitTheReplyBuffer) {
  fuse_read_in argument{};
  argument.size = kCapacity;
  EXPECT_EQ(check_request(make_request(FUSE_READ, bytes_of(argument)), kCapacity), RequestVerdict::kServe);
  ++argument.size;
  EXPECT_EQ(check_request(make_request(FUSE_READ, bytes_of(argument)), kCapacity), RequestVerdict::kMalformed);
}

TEST(RequestCheck, WhatIsNotServedIsSaidToBeUnsupportedWhateverItSays) {
  for (const uint32_t opcode : {uint32_t(FUSE_OPEN), uint32_t(FUSE_GETXATTR), 7u, 63u, 64u, 4096u, ~0u})
    EXPECT_EQ(check_request(make_request(opcode, ""), kCapacity), RequestVerdict::kUnsupported) << opcode;
}

}  // namespace
}  // namespace ztmpfs
