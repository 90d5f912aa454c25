#include "daemon/config_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "daemon/command_line.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ConfigFile : public testing::Test {
 protected:
  Options parse(const std::vector<std::string>& arguments) const {
    return parse_command_line(arguments, surroundings()).options;
  }
  Options parse_with(const std::string& toml, const std::string& list = "rw") const {
    directory_.write("build.toml", toml);
    return parse({"-o", list, "build", "/mnt"});
  }
  std::string refusal(const std::vector<std::string>& arguments) const {
    try {
      parse(arguments);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "(accepted)";
  }
  std::string refusal_of(const std::string& toml) const {
    directory_.write("build.toml", toml);
    return refusal({"build", "/mnt"});
  }
  Surroundings surroundings() const {
    return {.config_dir = directory_.path(), .usable_ram = 8 * kGiB, .cpus = 2, .uid = 0, .gid = 0};
  }
  std::string file() const { return directory_.path() + "/build.toml"; }

  TemporaryDirectory directory_;
};

TEST_F(ConfigFile, SetsOptionsOfItsMountOnly) {
  const Options options = parse_with("size = '1G'\nuid = 7\nmode = 0o755\nallow_other = true\nnoexec = false\n");
  EXPECT_EQ(options.size, kGiB);
  EXPECT_EQ(options.uid, 7U);
  EXPECT_EQ(options.mode, 0755U);
  EXPECT_TRUE(options.allow_other);
  EXPECT_EQ(options.mount_flags & MS_NOEXEC, 0U);
  EXPECT_EQ(parse({"other", "/mnt"}).uid, 0U);
}

TEST_F(ConfigFile, CommandLineWins) {
  const Options options = parse_with("size = '1G'\nro = true\n", "size=2G,rw");
  EXPECT_EQ(options.size, 2 * kGiB);
  EXPECT_EQ(options.mount_flags & MS_RDONLY, 0U);
}

TEST_F(ConfigFile, LaterLineWins) {
  EXPECT_EQ(parse_with("rw = true\nro = true\n", "nodev").mount_flags & MS_RDONLY, MountFlags(MS_RDONLY));
  EXPECT_EQ(parse_with("ro = true\nrw = true\n", "nodev").mount_flags & MS_RDONLY, 0U);
}

TEST_F(ConfigFile, SaysWhereToMountUnlessTheCommandLineDoes) {
  directory_.write("build.toml", "size = '1G'\nmountpoint = '/srv/build'\n");
  const Options options = parse({"build"});
  EXPECT_EQ(options.mountpoint, "/srv/build");
  EXPECT_EQ(options.mountpoint_origin, " in " + file() + ":2");
  EXPECT_EQ(parse({"build", "/mnt"}).mountpoint, "/mnt");
  EXPECT_EQ(parse({"build", "/mnt"}).mountpoint_origin, "");
}

TEST_F(ConfigFile, DropInsWinInTheOrderOfTheirNames) {
  directory_.write("build.toml", "size = '1G'\nhot = '20M'\nmountpoint = '/srv/build'\nmode = '700'\n");
  directory_.write("build.toml.d/20-more.toml", "size = '3G'\n");
  directory_.write("build.toml.d/10-less.toml", "size = '2G'\nmountpoint = '/srv/other'\n");
  directory_.write("build.toml.d/.30-hidden.toml", "size = '4G'\n");
  directory_.write("build.toml.d/40-editor.toml~", "size = '5G'\n");
  directory_.write("other.toml.d/50.toml", "size = '6G'\n");
  const Options options = parse({"build"});
  EXPECT_EQ(options.size, 3 * kGiB);
  EXPECT_EQ(options.hot, 20 * kMiB);
  EXPECT_EQ(options.mode, 0700U);
  EXPECT_EQ(options.mountpoint, "/srv/other");
  EXPECT_EQ(parse({"-o", "size=7G", "build"}).size, 7 * kGiB);
}

TEST_F(ConfigFile, DropInsAloneDo) {
  directory_.write("build.toml.d/10.toml", "mountpoint = '/srv/build'\n");
  EXPECT_EQ(parse({"build"}).mountpoint, "/srv/build");
}

TEST_F(ConfigFile, DropInTakesBack) {
  directory_.write("build.toml", "size = '1G'\nallow_other = true\nmountpoint = '/srv/build'\nnoexec = true\n");
  directory_.write("build.toml.d/10.toml", "size = false\nallow_other = false\nmountpoint = false\n");
  const Options options = parse({"build", "/mnt"});
  EXPECT_EQ(options.size, 4 * kGiB);
  EXPECT_FALSE(options.allow_other);
  EXPECT_EQ(options.mount_flags & MS_NOEXEC, MountFlags(MS_NOEXEC));
  EXPECT_THAT(refusal({"build"}), HasSubstr("option 'mountpoint' in " + file() + " is missing"));
}

TEST_F(ConfigFile, OrdinaryUsersHaveTheirOwn) {
  const TemporaryDirectory home;
  Surroundings user = surroundings();
  user.user_config_dir = home.path();
  directory_.write("build.toml", "size = '1G'\nuid = 7\n");
  EXPECT_EQ(parse_command_line({"build", "/mnt"}, user).options.size, kGiB);
  home.write("build.toml", "size = '2G'\n");
  const Options options = parse_command_line({"build", "/mnt"}, user).options;
  EXPECT_EQ(options.size, 2 * kGiB);
  EXPECT_EQ(options.uid, 0U) << "the two are not mixed";
  EXPECT_EQ(options.config_dir, home.path());
  EXPECT_EQ(parse_command_line({"--config-dir", directory_.path(), "build", "/mnt"}, user).options.size, kGiB);
}

// Every key and every type that it does not take.
TEST_F(ConfigFile, WrongTypesAreRefusedForEveryKey) {
  std::vector<std::string> keys{"mountpoint", "ro", "noexec", "noatime"};
  for (const std::string_view key : option_names()) keys.emplace_back(key);
  for (const std::string& key : keys)
    for (const char* value : {"['a']", "{a = 1}", "1.5", "1979-05-27", "12:00:00", "[{a = 1}]"}) {
      const std::string sentence = refusal_of("\n" + key + " = " + value + "\n");
      EXPECT_THAT(sentence, HasSubstr("option '" + key + "' in " + file() + ":2 is ")) << value;
      EXPECT_EQ(sentence.find('\n'), std::string::npos);
    }
}

struct BadLine {
  const char* key;
  const char* value;
  const char* reason;
};

// Right by type, but of no sense. Each key has a line, and a test that this is so.
constexpr std::array kBadLines{
    BadLine{"size", "true", "needs a value"},
    BadLine{"size", "-1", "is not a number of bytes"},
    BadLine{"size", "'1M'", "is too small"},
    BadLine{"size", "'241G'", "is more than"},
    BadLine{"size", "9223372036854775807", "is not a number of bytes"},
    BadLine{"size", "''", "is not a number of bytes"},
    BadLine{"logical", "'many'", "is not a number of bytes"},
    BadLine{"logical", "true", "needs a value"},
    BadLine{"hot", "0", "leaves no room"},
    BadLine{"hot", "'101X'", "is not a number of bytes"},
    BadLine{"block", "5000", "is not a power of two"},
    BadLine{"block", "'256K'", "is not a power of two"},
    BadLine{"codec", "'gzip'", "does not do"},
    BadLine{"codec", "3", "does not do"},
    BadLine{"codec", "'zstd:99'", "does not do"},
    BadLine{"mode", "'999'", "is not an octal mode"},
    BadLine{"mode", "755", "must be written as a string"},
    BadLine{"mode", "0o17777", "is not an octal mode"},
    BadLine{"uid", "'root'", "is not a number of a user"},
    BadLine{"uid", "-1", "is not a number of a user"},
    BadLine{"gid", "4294967295", "is not a number of a user"},
    BadLine{"psi", "'often'", "option 'psi=often'"},
    BadLine{"psi", "true", "needs a value"},
    BadLine{"psi", "'some:1ms/1s,full:1ms/1s'", "contains a comma"},
    BadLine{"hang", "0", "is not a time"},
    BadLine{"hang", "'1h'", "is not a time"},
    BadLine{"fsname", "''", "is empty"},
    BadLine{"fsname", R"("a\nb")", "contains a control character"},
    BadLine{"subtype", "'a/b'", "is not a word"},
    BadLine{"allow_other", "'yes'", "takes no value"},
    BadLine{"default_permissions", "1", "takes no value"},
    BadLine{"xattr", "'on'", "takes no value"},
    BadLine{"acl", "0", "takes no value"},
    BadLine{"keep", "'true'", "takes no value"},
    BadLine{"ro", "'yes'", "takes no value"},
    BadLine{"transport", "'io_uring'", "is not in this version"},
    BadLine{"cold_codec", "'zstd'", "is not in this version"},
    BadLine{"spill", "false", "is not in this version"},
    BadLine{"dedup", "true", "is not in this version"},
    BadLine{"mountpoint", "'srv/build'", "must be the absolute path of a directory"},
    BadLine{"mountpoint", "''", "must be the absolute path of a directory"},
    BadLine{"mountpoint", "true", "must be the absolute path of a directory"},
    BadLine{"mountpoint", "5", "must be the absolute path of a directory"},
    BadLine{"mountpoint", R"("/srv/\u0007")", "contains a control character"},
    BadLine{"mountpoint", "'/srv/a,b'", "contains a comma"},
    BadLine{"sise", "'1G'", "is unknown"},
    BadLine{"sise", "false", "is unknown"},
    BadLine{"Size", "'1G'", "is unknown"},
    BadLine{R"("si\nze")", "'1G'", "is unknown"},
};

TEST_F(ConfigFile, ValuesOfNoSenseAreRefusedWithFileLineAndKey) {
  for (const BadLine& line : kBadLines) {
    const std::string sentence = refusal_of(std::string("# comment\n") + line.key + " = " + line.value + "\n");
    EXPECT_THAT(sentence, AllOf(HasSubstr(line.reason), HasSubstr(file() + ":2"))) << line.key << " = " << line.value;
    if (line.key[0] != '"') {
      EXPECT_THAT(sentence, HasSubstr("option '" + std::string(line.key)));
    }
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
  }
}

TEST_F(ConfigFile, EveryKeyHasALineOfNoSense) {
  for (const std::string_view key : option_names())
    EXPECT_NE(std::ranges::find(kBadLines, key, [](const BadLine& line) { return std::string_view(line.key); }),
              kBadLines.end())
        << key;
}

TEST_F(ConfigFile, MistakesOfDropInsNameTheDropIn) {
  directory_.write("build.toml", "size = '1G'\n");
  directory_.write("build.toml.d/10.toml", "hot = 'x'\n");
  EXPECT_THAT(refusal({"build", "/mnt"}),
              HasSubstr("option 'hot=x' in " + directory_.path() + "/build.toml.d/10.toml:1"));
}

TEST_F(ConfigFile, BrokenFilesAreRefusedWithTheLine) {
  for (const char* toml : {"ro = true\nsize = \n", "ro = true\nsize\n", "ro = true\nsize = '1G\n",
                           "ro = true\nro = true\n", "ro = true\nsize = 1 2\n"}) {
    const std::string sentence = refusal_of(toml);
    EXPECT_THAT(sentence, HasSubstr("cannot read the configuration " + file() + ": line 2: ")) << toml;
    EXPECT_EQ(sentence.find('\n'), std::string::npos) << sentence;
  }
}

TEST_F(ConfigFile, WhatIsNoFileIsRefused) {
  std::filesystem::create_directory(file());
  EXPECT_THAT(refusal({"build", "/mnt"}), HasSubstr("cannot read the configuration " + file() + ": it is a directory"));
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  EXPECT_THAT(refusal({"build", "/mnt"}), HasSubstr(file() + ": it is no file"));
  std::filesystem::remove(file());
  std::filesystem::create_symlink("build.toml", file());
  EXPECT_THAT(refusal({"build", "/mnt"}), HasSubstr(file() + ": Too many levels of symbolic links"));
  std::filesystem::remove(file());
  directory_.write("build.toml.d", "size = '1G'\n");
  EXPECT_THAT(refusal({"build", "/mnt"}), HasSubstr("cannot read the configuration " + file() + ".d: "));
}

TEST_F(ConfigFile, TooLargeIsRefused) {
  EXPECT_THAT(refusal_of("# " + std::string(kMiB, 'x')), HasSubstr(file() + ": it is larger than"));
}

TEST_F(ConfigFile, UnreadableIsRefused) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "root may read everything; tests/mount/config_test.py tries it as somebody else";
  directory_.write("build.toml", "size = '1G'\n");
  ::chmod(file().c_str(), 0);
  EXPECT_THAT(refusal({"build", "/mnt"}), HasSubstr("cannot read the configuration " + file() + ": Permission denied"));
}

TEST_F(ConfigFile, WithoutConfigurationAMountPointMustBeGiven) {
  EXPECT_THAT(refusal({"build"}), AllOf(HasSubstr("MOUNTPOINT is missing"), HasSubstr("there is no " + file())));
  EXPECT_THAT(refusal({"-o", "mountpoint=/mnt", "build"}), HasSubstr("MOUNTPOINT is missing"));
  EXPECT_THAT(refusal({"-o", "mountpoint=/mnt", "build", "/mnt"}), HasSubstr("option 'mountpoint' is unknown"));
  EXPECT_THAT(refusal({"--config-dir", "etc", "build", "/mnt"}), HasSubstr("--config-dir=etc"));
}

TEST_F(ConfigFile, TwoOfOneMountPointAreToldApart) {
  directory_.write("build.toml", "mountpoint = '/srv/build'\n");
  directory_.write("twin.toml", "mountpoint = '/srv//build/'\n");
  directory_.write("broken.toml", "mountpoint = \n");
  directory_.write("other.toml", "mountpoint = '/srv'\n");
  EXPECT_THAT(configs_with_mountpoint(directory_.path(), "/srv/build", "build"), ElementsAre("twin"));
  const CommandLine command_line = parse_command_line({"build"}, surroundings());
  EXPECT_THAT(command_line.warnings, ElementsAre(AllOf(HasSubstr(file() + ":1"), HasSubstr("also that of twin"))));
  EXPECT_THAT(parse_command_line({"build", "/mnt"}, surroundings()).warnings, IsEmpty());
}

TEST_F(ConfigFile, CheckPrintsWhatItComesTo) {
  directory_.write("build.toml", "size = '1G'\nmountpoint = '/srv/build'\nkeep = true\n");
  const std::string text = parse_command_line({"--check-config", "build"}, surroundings()).text_to_print;
  EXPECT_TRUE(text.starts_with("mountpoint=/srv/build\nsize=1073741824\n")) << text;
  EXPECT_THAT(text, HasSubstr("\nkeep\n"));
  EXPECT_THAT(text, Not(HasSubstr("\n\n")));
}

TEST_F(ConfigFile, IsReadAgainAsItWasReadFirst) {
  directory_.write("build.toml", "size = '1G'\nhot = '20M'\nmountpoint = '/srv/build'\n");
  const Options first = parse({"-o", "size=2G", "build"});
  Surroundings of_server = surroundings();
  of_server.config_dir.clear();
  const Options server = parse_command_line(server_arguments(first), of_server).options;
  EXPECT_EQ(server.config_dir, directory_.path());
  directory_.write("build.toml", "size = '3G'\nhot = '30M'\nkeep = true\nmountpoint = '/srv/other'\n");
  const Options again = read_options_again(server, surroundings());
  EXPECT_EQ(again.size, 2 * kGiB) << "the command line wins";
  EXPECT_EQ(again.hot, 30 * kMiB);
  EXPECT_TRUE(again.keep);
  EXPECT_EQ(again.mountpoint, "/srv/other");
  const Options elsewhere = parse_command_line(server_arguments(parse({"build", "/mnt"})), of_server).options;
  EXPECT_EQ(read_options_again(elsewhere, surroundings()).mountpoint, "/mnt");
}

}  // namespace
}  // namespace ztmpfs
