#include "daemon/psi_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>

#include "base/unique_fd.h"
#include "daemon/launcher.h"
#include "tests/daemon/temporary_directory.h"

namespace ztmpfs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kPressure =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
constexpr const char* kTriggerInBase64 = "c29tZSAxNTAwMDAgMjAwMDAwMAA=";  // "some 150000 2000000" and a NUL

class PsiSourceTest : public testing::Test {
 protected:
  PsiSourceTest() {
    directory_.write("system", kPressure);
    directory_.write("cgroup", "4:memory:/elsewhere\n0::/\n");
    directory_.write("mountinfo", "38 31 0:31 / " + path("groups") + " rw,relatime - cgroup2 cgroup2 rw\n");
    directory_.write("groups/memory.pressure", kPressure);
    surroundings_.system_pressure = path("system");
    surroundings_.cgroup = path("cgroup");
    surroundings_.mountinfo = path("mountinfo");
  }
  std::string path(const std::string& name) const { return directory_.path() + "/" + name; }
  void be_in_group(const std::string& group) const {
    directory_.write("cgroup", "4:memory:/elsewhere\n0::" + group + "\n");
    directory_.write("groups" + group + "/cgroup.type", "domain\n");
    directory_.write("groups" + group + "/memory.pressure", kPressure);
  }
  PsiSources find(const char* option = nullptr) const {
    return find_psi_sources(option == nullptr ? PsiOption{} : parse_psi_option(option).value(), surroundings_);
  }
  static std::vector<std::string> paths_of(const PsiSources& found) {
    std::vector<std::string> paths;
    for (const PsiSource& source : found.sources) paths.push_back(source.path);
    return paths;
  }
  static std::vector<std::string> triggers_of(const PsiSource& source) {
    std::vector<std::string> texts;
    for (const PsiTrigger& trigger : source.triggers) texts.push_back(trigger.text());
    return texts;
  }
  std::string make_fifo() const {
    EXPECT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
    return path("fifo");
  }
  std::string make_socket() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path("socket").data(), path("socket").size());
    socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return path("socket");
  }

  TemporaryDirectory directory_;
  UniqueFd socket_;
  PsiSurroundings surroundings_;
};

TEST_F(PsiSourceTest, SystemIsWatchedAtBothLevels) {
  const PsiSources found = find();
  ASSERT_THAT(paths_of(found), ElementsAre(path("system")));
  EXPECT_THAT(triggers_of(found.sources[0]), ElementsAre("some 100000 1000000", "full 50000 1000000"));
  EXPECT_FALSE(found.sources[0].may_come_back);
  EXPECT_THAT(found.warnings, IsEmpty());
}

TEST_F(PsiSourceTest, SystemIsASourceEvenIfItsFileIsMissing) {
  std::filesystem::remove(path("system"));
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system")));
}

TEST_F(PsiSourceTest, OwnGroupIsWatchedToo) {
  be_in_group("/user.slice/shell.scope");
  const PsiSources found = find("full:500ms/1s");
  ASSERT_THAT(paths_of(found), ElementsAre(path("system"), path("groups/user.slice/shell.scope/memory.pressure")));
  EXPECT_THAT(triggers_of(found.sources[1]), ElementsAre("some 100000 1000000", "full 500000 1000000"));
  EXPECT_TRUE(found.sources[1].may_come_back);
}

TEST_F(PsiSourceTest, RootGroupIsNotWatched) { EXPECT_THAT(paths_of(find()), ElementsAre(path("system"))); }

TEST_F(PsiSourceTest, GroupThatLooksLikeTheRootFromInsideIsWatched) {
  be_in_group("/");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system"), path("groups/memory.pressure")));
}

TEST_F(PsiSourceTest, GroupBelowABoundMountIsFound) {
  be_in_group("/inner");
  directory_.write("cgroup", "0::/outer/inner\n");
  directory_.write("mountinfo", "38 31 0:31 /outer " + path("groups") + " rw - cgroup2 cgroup2 rw\n");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system"), path("groups/inner/memory.pressure")));
  directory_.write("mountinfo", "38 31 0:31 /out " + path("groups") + " rw - cgroup2 cgroup2 rw\n");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system")));
}

TEST_F(PsiSourceTest, GroupWithoutPressureFileOrHierarchyIsLeftOut) {
  be_in_group("/a");
  std::filesystem::remove(path("groups/a/memory.pressure"));
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system")));
  be_in_group("/a");
  directory_.write("mountinfo", "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system")));
  directory_.write("cgroup", "4:memory:/a\n");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system")));
}

TEST_F(PsiSourceTest, OffWatchesNothing) {
  surroundings_.watch = make_fifo();
  EXPECT_THAT(find("off").sources, IsEmpty());
}

TEST_F(PsiSourceTest, PathReplacesAllSources) {
  be_in_group("/a");
  surroundings_.watch = make_fifo();
  directory_.write("other", kPressure);
  const PsiSources found = find(("" + path("other")).c_str());
  ASSERT_THAT(paths_of(found), ElementsAre(path("other")));
  EXPECT_EQ(found.sources[0].kind, PsiSourceKind::kFile);
  EXPECT_THAT(triggers_of(found.sources[0]), ElementsAre("some 100000 1000000", "full 50000 1000000"));
  EXPECT_TRUE(found.sources[0].may_come_back);
  EXPECT_EQ(find(make_socket().c_str()).sources.at(0).kind, PsiSourceKind::kSocket);
  EXPECT_EQ(find(path("fifo").c_str()).sources.at(0).kind, PsiSourceKind::kFifo);
}

TEST_F(PsiSourceTest, FileOfTheServiceManagerTakesItsTrigger) {
  directory_.write("service", kPressure);
  surroundings_.watch = path("service");
  surroundings_.write = kTriggerInBase64;
  const PsiSources found = find();
  ASSERT_THAT(paths_of(found), ElementsAre(path("system"), path("service")));
  EXPECT_THAT(triggers_of(found.sources[0]), ElementsAre("some 100000 1000000", "full 50000 1000000"));
  EXPECT_THAT(triggers_of(found.sources[1]), ElementsAre("some 150000 2000000", "full 50000 1000000"));
  EXPECT_THAT(triggers_of(find("some:1s/4s").sources.at(1)), ElementsAre("some 1000000 4000000", "full 50000 1000000"));
}

TEST_F(PsiSourceTest, FifoAndSocketOfTheServiceManagerAreGreeted) {
  surroundings_.watch = make_fifo();
  surroundings_.write = "aGVsbG8=";
  PsiSources found = find();
  ASSERT_THAT(paths_of(found), ElementsAre(path("system"), path("fifo")));
  EXPECT_EQ(found.sources[1].kind, PsiSourceKind::kFifo);
  EXPECT_EQ(found.sources[1].greeting, "hello");
  surroundings_.watch = make_socket();
  surroundings_.write.reset();
  found = find();
  ASSERT_THAT(paths_of(found), ElementsAre(path("system"), path("socket")));
  EXPECT_EQ(found.sources[1].kind, PsiSourceKind::kSocket);
  EXPECT_EQ(found.sources[1].greeting, "");
  EXPECT_THAT(found.warnings, IsEmpty());
}

TEST_F(PsiSourceTest, NoFileIsWatchedTwice) {
  be_in_group("/a");
  surroundings_.watch = path("groups/a/memory.pressure");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system"), path("groups/a/memory.pressure")));
  surroundings_.watch = path("system");
  EXPECT_THAT(paths_of(find()), ElementsAre(path("system"), path("groups/a/memory.pressure")));
}

TEST_F(PsiSourceTest, DevNullTurnsWatchingOffUnlessTheOptionAsksForIt) {
  be_in_group("/a");
  surroundings_.watch = "/dev/null";
  surroundings_.write = kTriggerInBase64;
  EXPECT_THAT(find().sources, IsEmpty());
  EXPECT_THAT(find().warnings, IsEmpty());
  EXPECT_THAT(paths_of(find("some:200ms/2s")), ElementsAre(path("system"), path("groups/a/memory.pressure")));
  EXPECT_THAT(paths_of(find(path("system").c_str())), ElementsAre(path("system")));
}

TEST_F(PsiSourceTest, WhatCannotBeWatchedIsOneWarning) {
  directory_.write("plain", "text\n");
  for (const std::string& watch : {std::string("relative/path"), path("missing"), path("plain"), directory_.path()}) {
    surroundings_.watch = watch;
    const PsiSources found = find();
    EXPECT_THAT(paths_of(found), ElementsAre(path("system")));
    EXPECT_THAT(found.warnings, ElementsAre(testing::AllOf(HasSubstr("$MEMORY_PRESSURE_WATCH"), HasSubstr(watch))));
  }
  surroundings_.watch = "";
  EXPECT_THAT(find().warnings, IsEmpty());
}

TEST_F(PsiSourceTest, BadTextIsOneWarningAndTheSourceStays) {
  directory_.write("service", kPressure);
  surroundings_.watch = path("service");
  for (const char* text : {"%%%%", "aGVsbG8="}) {  // no Base64; no trigger ("hello")
    surroundings_.write = text;
    const PsiSources found = find();
    ASSERT_THAT(paths_of(found), ElementsAre(path("system"), path("service")));
    EXPECT_THAT(triggers_of(found.sources[1]), ElementsAre("some 100000 1000000", "full 50000 1000000"));
    EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("$MEMORY_PRESSURE_WRITE")));
  }
}

TEST_F(PsiSourceTest, PathsThatTellOfNoPressureHaveAReason) {
  directory_.write("plain", "text\n");
  directory_.write("empty", "");
  EXPECT_THAT(psi_path_error(path("plain")), HasSubstr("is neither a pressure file"));
  EXPECT_THAT(psi_path_error(path("empty")), HasSubstr("is neither a pressure file"));
  EXPECT_THAT(psi_path_error(directory_.path()), HasSubstr("is neither a pressure file"));
  EXPECT_THAT(psi_path_error("/dev/null"), HasSubstr("is neither a pressure file"));
  EXPECT_THAT(psi_path_error(path("missing")), HasSubstr("No such file or directory"));
  EXPECT_EQ(psi_path_error(path("system")), "");
  EXPECT_EQ(psi_path_error(make_fifo()), "");
  EXPECT_EQ(psi_path_error(make_socket()), "");
}

TEST_F(PsiSourceTest, LauncherRefusesSuchAPathBeforeItMounts) {
  directory_.write("plain", "text\n");
  testing::internal::CaptureStderr();
  EXPECT_EQ(launcher_main({"-f", "-o", "psi=" + path("plain"), "psi-test", directory_.path()}), 2);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("option 'psi=" + path("plain") + "' is neither a pressure file"));
  EXPECT_EQ(std::ranges::count(said, '\n'), 1);
}

TEST(PsiPath, PressureOfProcessorsAndDisksIsRefused) {
  for (const char* path : {"/proc/pressure/cpu", "/proc/pressure/io", "/sys/fs/cgroup/a/io.pressure"})
    EXPECT_EQ(psi_path_error(path), "tells of another pressure than that of memory") << path;
}

TEST(Base64, IsDecodedStrictly) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
  EXPECT_EQ(decode_base64("/+8A"), std::string("\xff\xef\0", 3));
  for (const char* text : {"Z", "Zg", "Zg=", "Z===", "====", "Zm 9", "Zg==Zg==", "Zm9-"})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace ztmpfs
