#include "daemon/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include "daemon/command_line.h"

namespace ztmpfs {
namespace {

using testing::HasSubstr;

const Surroundings kRoot{.config_dir = "", .usable_ram = 8 * kGiB, .cpus = 2, .uid = 0, .gid = 0};
const Surroundings kUser{.config_dir = "", .usable_ram = 8 * kGiB, .cpus = 2, .uid = 1000, .gid = 1001};

Options parse(const std::vector<std::string>& arguments, const Surroundings& surroundings = kRoot) {
  return parse_command_line(arguments, surroundings).options;
}

Options with(const std::string& list, const Surroundings& surroundings = kRoot) {
  return parse({"-o", list, "build", "/mnt"}, surroundings);
}

std::string refusal(const std::vector<std::string>& arguments, const Surroundings& surroundings = kRoot) {
  try {
    parse(arguments, surroundings);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(accepted)";
}

TEST(Options, DefaultsAreHalfTheMemoryAndASharedRoot) {
  const Options options = parse({"build", "/mnt"});
  EXPECT_EQ(options.name, "build");
  EXPECT_EQ(options.mountpoint, "/mnt");
  EXPECT_EQ(options.source, "build");
  EXPECT_FALSE(options.foreground);
  EXPECT_EQ(options.size, 4 * kGiB);
  EXPECT_EQ(options.block_size, 32 * kKiB);
  EXPECT_EQ(options.codec.id, CodecId::kZstd);
  EXPECT_EQ(options.readers, 2U);
  EXPECT_EQ(options.mode, 01777U);
  EXPECT_EQ(options.mount_flags, MountFlags(MS_NOSUID | MS_NODEV));
}

TEST(Options, OrderOfMountHelpersIsTaken) {
  const Options options = parse({"build", "/mnt", "-o", "rw,size=1G,dev,suid"});
  EXPECT_EQ(options.size, kGiB);
  EXPECT_EQ(options.mount_flags, 0U);
}

TEST(Options, SeveralListsAddUpAndTheLastWins) {
  const Options options = parse({"-f", "-o", "size=1G,codec=none", "-o", "size=25%", "build", "/mnt"});
  EXPECT_TRUE(options.foreground);
  EXPECT_EQ(options.size, 2 * kGiB);
  EXPECT_EQ(options.codec.id, CodecId::kNone);
}

TEST(Options, ValuesAreRead) {
  const Options options = with("size=1G,logical=2G,hot=10%,block=4K,codec=zstd:3,uid=5,gid=6,mode=750,fsname=disk");
  EXPECT_EQ(options.logical, 2 * kGiB);
  EXPECT_EQ(options.hot, Bytes(double(kGiB) / 10));
  EXPECT_EQ(options.block_size, 4 * kKiB);
  EXPECT_EQ(options.codec.id, CodecId::kZstd);
  EXPECT_EQ(options.codec.level, 3);
  EXPECT_EQ(options.uid, 5U);
  EXPECT_EQ(options.gid, 6U);
  EXPECT_EQ(options.mode, 0750U);
  EXPECT_EQ(options.source, "disk");
}

TEST(Options, FlagsOfMountChangeTheMount) {
  EXPECT_EQ(with("ro,noexec").mount_flags, MountFlags(MS_RDONLY | MS_NOEXEC | MS_NOSUID | MS_NODEV));
  EXPECT_EQ(with("ro,rw,noatime,relatime").mount_flags, MountFlags(MS_RELATIME | MS_NOSUID | MS_NODEV));
}

TEST(Options, WhatOnlyFstabNeedsIsIgnored) {
  const Options options = with("x-systemd.automount,nofail,_netdev,defaults,noauto,,x-a=b");
  EXPECT_EQ(options.mount_flags, default_mount_flags());
}

TEST(Options, KernelChecksPermissionsButForRootAlone) {
  EXPECT_FALSE(with("rw").default_permissions);
  EXPECT_TRUE(with("default_permissions").default_permissions);
  EXPECT_TRUE(with("allow_other").default_permissions);
  EXPECT_TRUE(with("acl").default_permissions);
  EXPECT_TRUE(with("rw", kUser).default_permissions);
}

TEST(Options, AclsAreXattrs) {
  EXPECT_FALSE(with("rw").xattr);
  EXPECT_TRUE(with("xattr").xattr);
  EXPECT_FALSE(with("xattr").default_permissions);
  EXPECT_FALSE(volume_options(with("xattr")).root.acl);
  EXPECT_TRUE(with("acl").xattr);
  EXPECT_TRUE(volume_options(with("acl")).root.acl);
}

TEST(Options, RootOfTheMountIsTheUsers) {
  const Options options = with("rw", kUser);
  EXPECT_EQ(options.uid, 1000U);
  EXPECT_EQ(options.gid, 1001U);
}

TEST(Options, ServerGetsTheSameOptions) {
  const Options options = with(
      "size=1G,logical=2G,hot=64M,block=4K,codec=zstd:-5,uid=5,gid=6,mode=750,allow_other,xattr,acl,keep,hang=7s,psi="
      "some:"
      "100ms/1s,"
      "noexec,noatime,suid,sync,fsname=a=b,subtype=other");
  Surroundings elsewhere = kRoot;
  elsewhere.usable_ram = 1 * kGiB;  // must not matter any more
  const Options again = parse(server_arguments(options), elsewhere);
  EXPECT_EQ(format_options(again), format_options(options));
  EXPECT_EQ(again.mount_flags, options.mount_flags);
  EXPECT_EQ(again.name, options.name);
  EXPECT_EQ(again.mountpoint, options.mountpoint);
  EXPECT_EQ(again.codec.level, -5);
  EXPECT_EQ(again.source, "a=b");
}

TEST(Options, ServerOfANameThatLooksLikeAnOptionStarts) {
  const Options options = parse({"--", "-o", "/mnt"});
  EXPECT_EQ(parse(server_arguments(options)).name, "-o");
}

TEST(Options, HelpAndVersionArePrinted) {
  EXPECT_THAT(parse_command_line({"--help"}, kRoot).text_to_print, HasSubstr("size=BYTES"));
  EXPECT_THAT(parse_command_line({"--version"}, kRoot).text_to_print, HasSubstr("ztmpfs 0."));
}

TEST(Options, GeometryLeavesRoomToGrow) {
  EXPECT_EQ(image_geometry(with("size=1G")).capacity, 64 * kGiB);
  Surroundings large = kRoot;
  large.usable_ram = 1024 * kGiB;
  EXPECT_EQ(image_geometry(with("size=50G", large)).capacity, 200 * kGiB);
  EXPECT_EQ(image_geometry(with("size=100G", large)).capacity, 240 * kGiB);
  // Half of what a machine of 64 GB has, and other sizes that are multiples of nothing.
  for (const char* size : {"size=33003332K", "size=16777217K", "size=20480001K", "size=18000000001"})
    EXPECT_EQ(image_geometry(with(size, large)).capacity % kMiB, 0) << size;
  EXPECT_EQ(with("rw", large).size, 240 * kGiB);
  EXPECT_EQ(image_geometry(with("size=1G")).request_slots, 2U);
}

TEST(Options, SizeMinCountsHotBlocksAndReaders) {
  EXPECT_EQ(refusal({"-o", "size=16M", "a", "/mnt"}), "(accepted)");
  EXPECT_THAT(refusal({"-o", "size=16M,hot=8M", "a", "/mnt"}), HasSubstr("'size=16M' is too small"));
  Surroundings tiny = kRoot;
  tiny.usable_ram = 8 * kMiB;
  EXPECT_THAT(refusal({"a", "/mnt"}, tiny), HasSubstr("the default size of half the memory is too small"));
}

TEST(Options, RemountIsLeftToTheMountThatIsThere) {
  const CommandLine command_line = parse_command_line({"not a name", "/mnt", "-o", "rw,remount,size=1M"}, kRoot);
  EXPECT_EQ(command_line.options.mountpoint, "/mnt");
  ASSERT_EQ(command_line.remount.size(), 3U);
  EXPECT_EQ(command_line.remount[2].key, "size");
}

TEST(Options, UserMayNotAskForSuidOrDev) {
  EXPECT_EQ(refusal({"-o", "nosymfollow", "a", "/mnt"}, kUser), "option 'nosymfollow' is for root only");
  EXPECT_EQ(refusal({"-o", "suid", "a", "/mnt"}, kUser), "option 'suid' is for root only");
  EXPECT_EQ(refusal({"-o", "dev", "a", "/mnt"}, kUser), "option 'dev' is for root only");
  EXPECT_EQ(refusal({"-o", "nosuid,nodev", "a", "/mnt"}, kUser), "(accepted)");
}

struct BadList {
  const char* list;
  const char* sentence_part;
};

class BadOption : public testing::TestWithParam<BadList> {};

TEST_P(BadOption, IsRefusedByName) {
  const std::string sentence = refusal({"-o", GetParam().list, "build", "/mnt"});
  EXPECT_THAT(sentence, HasSubstr(GetParam().sentence_part));
  EXPECT_EQ(sentence.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Options, BadOption,
    testing::Values(
        BadList{"sise=1G", "option 'sise' is unknown"}, BadList{"frobnicate", "option 'frobnicate' is unknown"},
        BadList{"size=", "option 'size=' is not a number of bytes"}, BadList{"size", "option 'size' needs a value"},
        BadList{"size=12X", "'size=12X'"}, BadList{"size=-1G", "'size=-1G'"}, BadList{"size=1e30", "'size=1e30'"},
        BadList{"size=nan", "'size=nan'"}, BadList{"size=1M", "'size=1M' is too small"},
        BadList{"size=241G", "'size=241G' is more than 240.0 GiB"}, BadList{"size=0", "'size=0' is too small"},
        BadList{"logical=lots", "'logical=lots'"}, BadList{"hot=x", "'hot=x'"}, BadList{"hot=0", "'hot=0'"},
        BadList{"block=5K", "'block=5K'"}, BadList{"block=2K", "'block=2K'"}, BadList{"block=256K", "'block=256K'"},
        BadList{"codec=gzip", "'codec=gzip'"}, BadList{"codec=zstd:99", "'codec=zstd:99'"},
        BadList{"mode=999", "'mode=999'"}, BadList{"mode=17777", "'mode=17777'"}, BadList{"mode=", "'mode='"},
        BadList{"uid=root", "'uid=root'"}, BadList{"gid=-1", "'gid=-1'"}, BadList{"uid=4294967295", "'uid=4294967295'"},
        BadList{"allow_other=1", "'allow_other=1' takes no value"}, BadList{"ro=yes", "'ro=yes' takes no value"},
        BadList{"hang=0", "'hang=0'"}, BadList{"hang=5m", "'hang=5m'"}, BadList{"hang=", "'hang='"},
        BadList{"psi=often", "'psi=often'"}, BadList{"psi=some:2s/1s", "'psi=some:2s/1s'"},
        BadList{"fsname=", "'fsname='"}, BadList{"subtype=a/b", "'subtype=a/b'"},
        BadList{"xattr=1", "'xattr=1' takes no value"}, BadList{"keep=1", "'keep=1' takes no value"},
        BadList{"spill=/x", "'spill' is not in this version"},
        BadList{"cold_codec=zstd", "'cold_codec' is not in this version"},
        BadList{"dedup", "'dedup' is not in this version"},
        BadList{"transport=io_uring", "'transport' is not in this version"}));

TEST(Options, WrongArgumentsAreRefused) {
  EXPECT_THAT(refusal({}), HasSubstr("NAME"));
  EXPECT_THAT(refusal({"build"}), HasSubstr("MOUNTPOINT"));
  EXPECT_THAT(refusal({"build", "/mnt", "more"}), HasSubstr("more"));
  EXPECT_THAT(refusal({"--frob", "build", "/mnt"}), HasSubstr("--frob"));
  EXPECT_THAT(refusal({"build", "/mnt", "-o"}), HasSubstr("-o"));
  EXPECT_THAT(refusal({"build", ""}), HasSubstr("mount point"));
}

TEST(Options, BadNamesAreRefused) {
  for (const std::string& name : {std::string("a/b"), std::string("a b"), std::string("ä"), std::string(65, 'x')})
    EXPECT_THAT(refusal({name, "/mnt"}), HasSubstr("the name '" + name + "'"));
  EXPECT_EQ(refusal({std::string(64, 'x'), "/mnt"}), "(accepted)");
  EXPECT_FALSE(is_valid_name(""));
}

}  // namespace
}  // namespace ztmpfs
