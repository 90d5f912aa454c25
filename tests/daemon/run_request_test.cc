#include "daemon/run_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    parse_run_request(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

RunRequest::Result result(const std::string& text) {
  return parse_run_request({"--copy-out", text, "true"}).copy_out.at(0);
}

TEST(RunRequest, OptionsEndWhereTheCommandBegins) {
  const RunRequest request = parse_run_request({"-q", "-o", "size=1G", "make", "-q", "-o", "x"});
  EXPECT_THAT(request.command, ElementsAre("make", "-q", "-o", "x"));
  EXPECT_EQ(request.mount_options, "size=1G");
  EXPECT_TRUE(request.quiet);
  EXPECT_THAT(request.copy_in, IsEmpty());
  EXPECT_THAT(parse_run_request({"--", "-q"}).command, ElementsAre("-q"));
}

TEST(RunRequest, ListsOfMountOptionsAddUp) {
  EXPECT_EQ(parse_run_request({"-o", "size=1G", "-oxattr,acl", "--options=block=4K", "true"}).mount_options,
            "size=1G,xattr,acl,block=4K");
}

TEST(RunRequest, WhatIsWrongIsNamed) {
  EXPECT_THAT(refusal({"--frob", "true"}), HasSubstr("--frob"));
  EXPECT_THAT(refusal({"-q", "-z", "true"}), HasSubstr("-z"));
  EXPECT_THAT(refusal({"-q", "--copy-in"}), HasSubstr("--copy-in needs a value"));
  EXPECT_THAT(refusal({"-q"}), HasSubstr("no command"));
  EXPECT_THAT(refusal({"--copy-in", "/no/such/place", "true"}), HasSubstr("/no/such/place"));
  EXPECT_THAT(refusal({"--copy-out", "/etc/passwd", "true"}), HasSubstr("/etc/passwd"));
  EXPECT_THAT(refusal({"--copy-out", "../a", "true"}), HasSubstr("../a"));
  EXPECT_THAT(refusal({"--copy-out", ":a", "true"}), HasSubstr("work directory"));
}

TEST(RunRequest, DestinationsAreAbsoluteAndAsTheUserMeansThem) {
  const std::string here = std::filesystem::current_path().string();
  EXPECT_EQ(result("a/b").destination, here + "/a/b");
  EXPECT_EQ(result("a/b/").destination, here + "/a/b");
  EXPECT_EQ(result("a/b/").source, "a/b");
  EXPECT_EQ(result("a/b:c").destination, here + "/c");
  EXPECT_EQ(result("a/b:c/").destination, here + "/c/b");
  EXPECT_EQ(result("a/b:/tmp/../x:y").destination, "/x:y");
  EXPECT_EQ(result(".").destination, here);
  EXPECT_EQ(result("a:.").destination, here);
}

TEST(RunRequest, OptionsThatOutliveTheRunAreRefused) {
  for (const char* option : {"keep", "remount", "ro", "by_service"}) {
    const RunRequest request = parse_run_request({"-o", option, "true"});
    EXPECT_THROW(run_mount_options(request, "run-1", "/mnt"), UsageError) << option;
  }
  const Options options = run_mount_options(parse_run_request({"-o", "size=64M", "true"}), "run-1", "/mnt");
  EXPECT_EQ(options.size, 64 * kMiB);
  EXPECT_EQ(options.name, "run-1");
  EXPECT_EQ(options.mountpoint, "/mnt");
}

}  // namespace
}  // namespace ztmpfs
