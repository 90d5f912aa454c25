// Each opcode once, from the bytes of the request to the bytes of the reply.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "tests/support/served_volume.h"

namespace ztmpfs {
namespace {

constexpr uint64_t kRoot = FileSystem::kRootIno;

class Operations : public testing::Test {
 protected:
  Operations() { served_.start(); }

  uint64_t make_file(std::string_view name, std::string_view content = "") {
    const uint64_t ino = caller().create(kRoot, name, S_IFREG | 0644, O_RDWR)->nodeid;
    if (!content.empty()) {
      EXPECT_EQ(caller().write(ino, 0, bytes(content)), content.size());
    }
    return ino;
  }
  FakeCaller caller() { return served_.caller(); }

  ServedVolume served_;
};

TEST_F(Operations, InitAsksForWhatSavesRequestsAndNotForWhatLosesData) {
  ServedVolume fresh;
  fresh.connect();
  // serve() sends INIT itself; a second connection shows the answer.
  FuseServer server(fresh.kernel().server_fd(), fresh.volume(), {.readers = 1, .on_ready = {}, .hooks = {}});
  std::thread thread([&] { server.run(); });
  const auto reply = fresh.kernel().init();
  fresh.kernel().disconnect();
  thread.join();
  ASSERT_EQ(reply.error, 0);
  fuse_init_out out{};
  std::memcpy(&out, reply.body.data(), sizeof(out));
  for (const uint32_t wanted :
       {FUSE_PARALLEL_DIROPS, FUSE_DO_READDIRPLUS, FUSE_READDIRPLUS_AUTO, FUSE_CACHE_SYMLINKS, FUSE_ASYNC_READ,
        FUSE_EXPLICIT_INVAL_DATA, FUSE_EXPORT_SUPPORT, FUSE_MAX_PAGES, FUSE_HANDLE_KILLPRIV_V2})
    EXPECT_EQ(out.flags & wanted, wanted);
  for (const uint32_t unwanted : {FUSE_ATOMIC_O_TRUNC, FUSE_AUTO_INVAL_DATA, FUSE_WRITEBACK_CACHE, FUSE_POSIX_LOCKS,
                                  FUSE_FLOCK_LOCKS, FUSE_SPLICE_READ, FUSE_SPLICE_WRITE, FUSE_SPLICE_MOVE,
                                  FUSE_HANDLE_KILLPRIV, FUSE_DONT_MASK, FUSE_POSIX_ACL, FUSE_SETXATTR_EXT})
    EXPECT_EQ(out.flags & unwanted, 0u) << unwanted;
  EXPECT_EQ(out.max_write, FakeKernel::kTransferMax);
  EXPECT_EQ(out.max_pages, FakeKernel::kTransferMax / 4096);
  EXPECT_EQ(out.max_readahead, 128u * 1024);
  EXPECT_EQ(out.max_background, 64);
}

TEST_F(Operations, LookupTellsAnEntryForEver) {
  const uint64_t ino = make_file("file", "content");
  const auto entry = caller().lookup(kRoot, "file");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->nodeid, ino);
  EXPECT_EQ(entry->generation, 0u);
  EXPECT_GE(entry->entry_valid, 100'000'000u);
  EXPECT_GE(entry->attr_valid, 100'000'000u);
  EXPECT_EQ(entry->attr.ino, ino);
  EXPECT_EQ(entry->attr.size, 7u);
  EXPECT_EQ(entry->attr.uid, 1000u);
  EXPECT_EQ(entry->attr.mode, uint32_t(S_IFREG | 0644));
  EXPECT_EQ(served_.kernel().lookups()[ino], 2u);
}

TEST_F(Operations, LookupOfNothingIsAnEntryTheKernelMayRemember) {
  const auto reply = served_.kernel().call(FUSE_LOOKUP, kRoot, make_names({"nothing"}));
  ASSERT_EQ(reply.error, 0);
  fuse_entry_out entry{};
  std::memcpy(&entry, reply.body.data(), sizeof(entry));
  EXPECT_EQ(entry.nodeid, 0u);
  EXPECT_GE(entry.entry_valid, 100'000'000u);
}

TEST_F(Operations, LookupOfDotsServesFileHandles) {
  const uint64_t directory = caller().mkdir(kRoot, "directory", 0755)->nodeid;
  const uint64_t file = make_file("file");
  EXPECT_EQ(caller().lookup(file, ".")->nodeid, file);
  EXPECT_EQ(caller().lookup(directory, "..")->nodeid, kRoot);
}

TEST_F(Operations, CreateMakesAFileAndRefusesAnExistingOneOnlyIfExclusive) {
  const auto made = caller().create(kRoot, "file", S_IFREG | 0600, O_RDWR | O_EXCL);
  ASSERT_TRUE(made);
  EXPECT_EQ(caller().create(kRoot, "file", S_IFREG | 0600, O_RDWR)->nodeid, made->nodeid);
  EXPECT_EQ(caller().create(kRoot, "file", S_IFREG | 0600, O_RDWR | O_EXCL).error(), std::errc::file_exists);
}

TEST_F(Operations, TmpfileMakesAFileWithoutANameThatCanGetOne) {
  const auto made = caller().tmpfile(kRoot, S_IFREG | 0600);
  if (!made && made.error() == std::errc::function_not_supported) GTEST_SKIP() << "this libfuse has no TMPFILE";
  ASSERT_TRUE(made);
  EXPECT_EQ(made->attr.mode, uint32_t(S_IFREG | 0600));
  EXPECT_EQ(made->attr.nlink, 0u);
  EXPECT_EQ(caller().write(made->nodeid, 0, bytes("text")), 4u);
  EXPECT_EQ(caller().list(kRoot, false)->size(), 0u);
  EXPECT_EQ(caller().link(made->nodeid, kRoot, "name")->attr.nlink, 1u);
  EXPECT_EQ(caller().lookup(kRoot, "name")->nodeid, made->nodeid);
}

TEST_F(Operations, MknodMakesSpecialFiles) {
  const auto device = caller().mknod(kRoot, "null", S_IFCHR | 0666, 0x103);
  ASSERT_TRUE(device);
  EXPECT_EQ(device->attr.mode, uint32_t(S_IFCHR | 0666));
  EXPECT_EQ(device->attr.rdev, 0x103u);
  EXPECT_TRUE(caller().mknod(kRoot, "fifo", S_IFIFO | 0666, 0));
}

TEST_F(Operations, MkdirAndRmdir) {
  ASSERT_TRUE(caller().mkdir(kRoot, "directory", 0755));
  EXPECT_EQ(caller().getattr(kRoot)->nlink, 3u);
  EXPECT_TRUE(caller().rmdir(kRoot, "directory"));
  EXPECT_EQ(caller().rmdir(kRoot, "directory").error(), std::errc::no_such_file_or_directory);
}

TEST_F(Operations, SymlinkAndReadlink) {
  const auto link = caller().symlink(kRoot, "link", "some/where");
  ASSERT_TRUE(link);
  EXPECT_EQ(caller().readlink(link->nodeid), "some/where");
}

TEST_F(Operations, LinkAndUnlink) {
  const uint64_t ino = make_file("file");
  const auto link = caller().link(ino, kRoot, "link");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->nodeid, ino);
  EXPECT_EQ(link->attr.nlink, 2u);
  EXPECT_TRUE(caller().unlink(kRoot, "file"));
  EXPECT_EQ(caller().getattr(ino)->nlink, 1u);
}

TEST_F(Operations, RenameWithAndWithoutFlags) {
  const uint64_t a = make_file("a");
  const uint64_t b = make_file("b");
  EXPECT_TRUE(caller().rename(kRoot, "a", kRoot, "c"));
  EXPECT_EQ(caller().rename(kRoot, "b", kRoot, "c", FileSystem::kRenameNoReplace).error(), std::errc::file_exists);
  EXPECT_TRUE(caller().rename(kRoot, "b", kRoot, "c", FileSystem::kRenameExchange));
  EXPECT_EQ(caller().lookup(kRoot, "b")->nodeid, a);
  EXPECT_EQ(caller().lookup(kRoot, "c")->nodeid, b);
  EXPECT_TRUE(caller().rename(kRoot, "b", kRoot, "d", FileSystem::kRenameWhiteout));
  EXPECT_EQ(caller().lookup(kRoot, "b")->attr.mode, uint32_t(S_IFCHR));
  constexpr uint32_t kUnknown = 1 << 3;
  EXPECT_EQ(caller().rename(kRoot, "b", kRoot, "e", kUnknown).error(), std::errc::invalid_argument);
}

TEST_F(Operations, WriteAndRead) {
  const uint64_t ino = make_file("file");
  std::vector<std::byte> data(FakeKernel::kTransferMax);
  for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte(i * 7 % 251);
  EXPECT_EQ(caller().write(ino, 1000, data), data.size());
  EXPECT_EQ(caller().read(ino, 1000, FakeKernel::kTransferMax), data);
  EXPECT_EQ(caller().read(ino, 0, 1000), std::vector<std::byte>(1000));
  EXPECT_EQ(caller().read(ino, 1000 + data.size(), 10)->size(), 0u);
}

TEST_F(Operations, GetattrAndSetattr) {
  const uint64_t ino = make_file("file", "content");
  fuse_setattr_in change{};
  change.valid = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_FH;
  change.mode = S_IFREG | 0400;
  change.uid = 7;
  change.gid = 8;
  change.size = 3;
  change.atime = 1111;
  change.mtime = 2222;
  change.mtimensec = 33;
  const auto changed = caller().setattr(ino, change);
  ASSERT_TRUE(changed);
  const auto attr = caller().getattr(ino);
  ASSERT_TRUE(attr);
  EXPECT_EQ(attr->mode, uint32_t(S_IFREG | 0400));
  EXPECT_EQ(attr->uid, 7u);
  EXPECT_EQ(attr->gid, 8u);
  EXPECT_EQ(attr->size, 3u);
  EXPECT_EQ(attr->atime, 1111u);
  EXPECT_EQ(attr->mtime, 2222u);
  EXPECT_EQ(attr->mtimensec, 33u);
  EXPECT_EQ(changed->size, 3u);

  change = {};
  change.valid = FATTR_MTIME | FATTR_MTIME_NOW;
  EXPECT_GT(caller().setattr(ino, change)->mtime, 1'500'000'000u);
}

TEST_F(Operations, SuidAndSgidGoWhereTheKernelAsksForIt) {
  const uint64_t ino = make_file("file", "content");
  const auto mode_after = [&](uint32_t mode, uint32_t valid) {
    fuse_setattr_in change{};
    change.valid = FATTR_MODE;
    change.mode = S_IFREG | mode;
    EXPECT_TRUE(caller().setattr(ino, change));
    change.valid = valid;
    change.gid = 1000;
    EXPECT_TRUE(caller().setattr(ino, change));
    return caller().getattr(ino)->mode & 07777;
  };
  EXPECT_EQ(mode_after(06755, FATTR_SIZE), 06755u);
  EXPECT_EQ(mode_after(06755, FATTR_SIZE | FATTR_KILL_SUIDGID), 0755u);
  EXPECT_EQ(mode_after(06755, FATTR_GID | FATTR_KILL_SUIDGID), 0755u);
  EXPECT_EQ(mode_after(06755, 0), 0755u) << "before a WRITE";
  EXPECT_EQ(mode_after(06644, 0), 02644u) << "the caller is in the group, and nobody gets its rights by executing";
  EXPECT_EQ(mode_after(06777, FATTR_MTIME), 06777u);
  fuse_write_in write{};
  write.size = 1;
  write.write_flags = FUSE_WRITE_KILL_SUIDGID;
  auto request = make_argument(write);
  request.push_back(std::byte('x'));
  EXPECT_EQ(served_.kernel().call(FUSE_WRITE, ino, request).error, 0);
  EXPECT_EQ(caller().getattr(ino)->mode & 07777, 0777u);
}

TEST_F(Operations, ChattrFlagsAreSetAndToldByIoctls) {
  const uint64_t ino = make_file("file");
  const auto ask = [&](uint32_t command, uint32_t output_size, std::span<const std::byte> input = {}) {
    fuse_ioctl_in head{};
    head.cmd = command;
    head.in_size = uint32_t(input.size());
    head.out_size = output_size;
    auto argument = make_argument(head);
    argument.insert(argument.end(), input.begin(), input.end());
    return served_.kernel().call(FUSE_IOCTL, ino, argument);
  };
  const auto set = [&](uint32_t flags) {
    return ask(uint32_t(FS_IOC_SETFLAGS), 0, std::as_bytes(std::span(&flags, 1))).error;
  };
  EXPECT_EQ(set(FS_IMMUTABLE_FL | FS_NODUMP_FL), 0);
  auto reply = ask(uint32_t(FS_IOC_GETFLAGS), sizeof(uint32_t));
  ASSERT_EQ(reply.body.size(), sizeof(fuse_ioctl_out) + sizeof(uint32_t));
  uint32_t flags = 0;
  std::memcpy(&flags, reply.body.data() + sizeof(fuse_ioctl_out), sizeof(flags));
  EXPECT_EQ(flags, uint32_t(FS_IMMUTABLE_FL | FS_NODUMP_FL));
  reply = ask(uint32_t(FS_IOC_FSGETXATTR), sizeof(fsxattr));
  fsxattr attributes{};
  ASSERT_EQ(reply.body.size(), sizeof(fuse_ioctl_out) + sizeof(attributes));
  std::memcpy(&attributes, reply.body.data() + sizeof(fuse_ioctl_out), sizeof(attributes));
  EXPECT_EQ(attributes.fsx_xflags, uint32_t(FS_XFLAG_IMMUTABLE | FS_XFLAG_NODUMP));
  EXPECT_EQ(caller().unlink(kRoot, "file").error(), std::errc::operation_not_permitted);

  EXPECT_EQ(set(FS_COMPR_FL), EOPNOTSUPP);
  attributes.fsx_xflags = FS_XFLAG_APPEND;
  EXPECT_EQ(ask(uint32_t(FS_IOC_FSSETXATTR), 0, std::as_bytes(std::span(&attributes, 1))).error, 0);
  EXPECT_EQ(caller().truncate(ino, 0).error(), std::errc::operation_not_permitted);
  attributes.fsx_projid = 1;
  EXPECT_EQ(ask(uint32_t(FS_IOC_FSSETXATTR), 0, std::as_bytes(std::span(&attributes, 1))).error, EOPNOTSUPP);
  EXPECT_EQ(set(0), 0);
  EXPECT_EQ(ask(0x5401, 60).error, ENOTTY);
  EXPECT_EQ(ask(uint32_t(FS_IOC_GETFLAGS), 2).error, EINVAL);
  EXPECT_EQ(ask(uint32_t(FS_IOC_SETFLAGS), 0, std::vector<std::byte>(2)).error, EINVAL);
  EXPECT_TRUE(caller().unlink(kRoot, "file"));
}

TEST_F(Operations, StatxTellsTheTimeOfBirth) {
  const auto made = caller().create(kRoot, "file", S_IFREG | 0644, O_RDWR);
  ASSERT_TRUE(made);
  fuse_setattr_in change{};
  change.valid = FATTR_MTIME;
  ASSERT_TRUE(caller().setattr(made->nodeid, change));
  constexpr uint32_t kStatx = 52;  // linux/fuse.h of protocol 7.39: fuse_statx_in, fuse_statx_out
  const auto reply = served_.kernel().call(kStatx, made->nodeid, std::vector<std::byte>(24));
  if (reply.error == ENOSYS) GTEST_SKIP() << "this libfuse has no STATX";
  ASSERT_EQ(reply.error, 0);
  struct statx status{};
  constexpr size_t kHead = 32;
  ASSERT_GE(reply.body.size(), kHead + sizeof(status));
  std::memcpy(&status, reply.body.data() + kHead, sizeof(status));
  EXPECT_EQ(status.stx_mask, STATX_BASIC_STATS | STATX_BTIME);
  EXPECT_EQ(status.stx_ino, made->nodeid);
  EXPECT_EQ(status.stx_mode, S_IFREG | 0644);
  EXPECT_EQ(status.stx_mtime.tv_sec, 0);
  EXPECT_EQ(status.stx_btime.tv_sec, int64_t(made->attr.mtime));
  EXPECT_EQ(status.stx_btime.tv_nsec, made->attr.mtimensec);
}

TEST_F(Operations, ReaddirTellsEachEntryOnceInManyRequests) {
  const uint64_t directory = caller().mkdir(kRoot, "directory", 0755)->nodeid;
  std::vector<std::string> names;
  for (int i = 0; i < 300; ++i) names.push_back("entry" + std::to_string(i) + std::string(size_t(i) % 100, 'x'));
  for (const auto& name : names) ASSERT_TRUE(caller().mknod(directory, name, S_IFREG | 0644, 0));
  std::ranges::sort(names);
  for (const bool plus : {false, true}) {
    const auto entries = caller().list(directory, plus, 1024);
    ASSERT_TRUE(entries);
    std::vector<std::string> told;
    for (const auto& entry : *entries) {
      told.push_back(entry.name);
      EXPECT_EQ(entry.type, uint32_t(S_IFREG >> 12));
      if (plus) {
        EXPECT_EQ(entry.plus.nodeid, entry.ino);
      }
    }
    std::ranges::sort(told);
    EXPECT_EQ(told, names) << plus;
  }
}

TEST_F(Operations, ReaddirplusCountsALookupForEachEntryButTheDots) {
  const uint64_t files_before = served_.volume().fs().files();
  const uint64_t ino = make_file("file");
  const auto entries = caller().readdirplus(kRoot, 0, 4096);
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].plus.nodeid, 0u);
  EXPECT_EQ((*entries)[1].plus.nodeid, 0u);
  EXPECT_EQ((*entries)[2].plus.nodeid, ino);
  ASSERT_TRUE(caller().unlink(kRoot, "file"));
  const fuse_forget_one one{.nodeid = ino, .nlookup = 1};
  served_.kernel().forget({&one, 1}, false);
  EXPECT_TRUE(caller().getattr(ino)) << "one of two lookups is left";
  served_.kernel().forget({&one, 1}, true);
  // A FORGET has no answer: only its effect shows that it was executed.
  while (served_.volume().fs().files() != files_before) std::this_thread::yield();
}

TEST_F(Operations, StatfsTellsTheCap) {
  const auto usage = caller().statfs();
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->blocks * usage->frsize, small_volume().size);
  EXPECT_GT(usage->bavail, 0u);
  EXPECT_LE(usage->bavail, usage->blocks);
  EXPECT_EQ(usage->namelen, 255u);
}

TEST_F(Operations, WhatCostsRequestsForNothingIsUnsupported) {
  const uint64_t ino = make_file("file");
  for (const uint32_t opcode : {FUSE_OPEN, FUSE_OPENDIR, FUSE_FLUSH, FUSE_FSYNC, FUSE_FSYNCDIR, FUSE_BMAP, FUSE_POLL,
                                FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW})
    EXPECT_EQ(served_.kernel().call(opcode, ino, std::vector<std::byte>(64)).error, ENOSYS) << opcode;
}

TEST_F(Operations, XattrsAreUnsupportedUnlessTheMountIsToHaveThem) {
  ServedVolume plain;
  plain.start({.readers = 1, .on_ready = {}, .hooks = {}});
  EXPECT_EQ(plain.caller().setxattr(kRoot, "user.a", "v").error(), std::errc::function_not_supported);
  EXPECT_EQ(plain.caller().getxattr(kRoot, "user.a").error(), std::errc::function_not_supported);
  EXPECT_EQ(plain.caller().listxattr(kRoot).error(), std::errc::function_not_supported);
  EXPECT_EQ(plain.caller().removexattr(kRoot, "user.a").error(), std::errc::function_not_supported);
}

TEST_F(Operations, XattrsComeBack) {
  const uint64_t ino = make_file("file");
  const std::string large(65536, 'v');
  EXPECT_TRUE(caller().setxattr(ino, "user.large", large));
  EXPECT_TRUE(caller().setxattr(ino, "user.empty", ""));
  EXPECT_EQ(caller().setxattr(ino, "user.empty", "", 1).error(), std::errc::file_exists);
  EXPECT_EQ(caller().getxattr(ino, "user.large"), large);
  EXPECT_EQ(caller().getxattr(ino, "user.empty"), "");
  EXPECT_EQ(caller().listxattr(ino), std::string("user.large\0user.empty\0", 22));
  EXPECT_TRUE(caller().removexattr(ino, "user.large"));
  EXPECT_EQ(caller().getxattr(ino, "user.large").error(), std::errc::no_message_available);
  EXPECT_EQ(caller().setxattr(ino, "system.posix_acl_access", "v").error(), std::errc::operation_not_supported);
}

TEST_F(Operations, AnXattrOfSizeZeroTellsItsLength) {
  const uint64_t ino = make_file("file");
  ASSERT_TRUE(caller().setxattr(ino, "user.a", "12345"));
  const auto length_of = [&](uint32_t opcode, std::vector<std::byte> argument) {
    const auto reply = served_.kernel().call(opcode, ino, argument);
    EXPECT_EQ(reply.error, 0);
    fuse_getxattr_out out{};
    EXPECT_EQ(reply.body.size(), sizeof(out));
    std::memcpy(&out, reply.body.data(), std::min(reply.body.size(), sizeof(out)));
    return out.size;
  };
  EXPECT_EQ(length_of(FUSE_GETXATTR, make_argument(fuse_getxattr_in{}, {"user.a"})), 5u);
  EXPECT_EQ(length_of(FUSE_LISTXATTR, make_argument(fuse_getxattr_in{})), 7u);
  const fuse_getxattr_in four{.size = 4, .padding = 0};
  EXPECT_EQ(served_.kernel().call(FUSE_GETXATTR, ino, make_argument(four, {"user.a"})).error, ERANGE);
}

TEST_F(Operations, AclsAreNegotiatedIfTheMountIsToHaveThem) {
  ServedVolume fresh;
  fresh.connect();
  FuseServer server(fresh.kernel().server_fd(), fresh.volume(),
                    {.readers = 1, .on_ready = {}, .hooks = {}, .features = {.xattr = true, .acl = true}});
  std::thread thread([&] { server.run(); });
  const auto reply = fresh.kernel().init();
  fresh.kernel().disconnect();
  thread.join();
  ASSERT_EQ(reply.error, 0);
  fuse_init_out out{};
  std::memcpy(&out, reply.body.data(), sizeof(out));
  for (const uint32_t wanted : {FUSE_POSIX_ACL, FUSE_DONT_MASK, FUSE_SETXATTR_EXT})
    EXPECT_EQ(out.flags & wanted, wanted) << wanted;
}

TEST_F(Operations, TheUmaskCountsForNewFilesAndNotForSymlinks) {
  fuse_mknod_in argument{};
  argument.mode = S_IFREG | 0666;
  argument.umask = 027;
  ASSERT_EQ(served_.kernel().call(FUSE_MKNOD, kRoot, make_argument(argument, {"file"})).error, 0);
  EXPECT_EQ(caller().lookup(kRoot, "file")->attr.mode, uint32_t(S_IFREG | 0640));
  const fuse_mkdir_in directory{.mode = 0777, .umask = 077};
  ASSERT_EQ(served_.kernel().call(FUSE_MKDIR, kRoot, make_argument(directory, {"directory"})).error, 0);
  EXPECT_EQ(caller().lookup(kRoot, "directory")->attr.mode, uint32_t(S_IFDIR | 0700));
  EXPECT_EQ(caller().symlink(kRoot, "link", "target")->attr.mode, uint32_t(S_IFLNK | 0777));
}

TEST_F(Operations, AccessIsAnsweredFromTheMode) {
  const uint64_t ino = make_file("file");
  const auto error_of = [&](uint32_t mask) {
    return served_.kernel().call(FUSE_ACCESS, ino, make_argument(fuse_access_in{.mask = mask, .padding = 0})).error;
  };
  EXPECT_EQ(error_of(R_OK), 0);
  EXPECT_EQ(error_of(X_OK), EACCES);
}

TEST_F(Operations, ReleaseIsFine) {
  const uint64_t ino = make_file("file");
  EXPECT_EQ(served_.kernel().call(FUSE_RELEASE, ino, make_argument(fuse_release_in{})).error, 0);
  EXPECT_EQ(served_.kernel().call(FUSE_RELEASEDIR, kRoot, make_argument(fuse_release_in{})).error, 0);
}

TEST_F(Operations, ErrorsOfTheTreeReachTheKernel) {
  EXPECT_EQ(caller().getattr(424242).error(), std::errc(ESTALE));
  EXPECT_EQ(caller().create(kRoot, std::string(256, 'n'), S_IFREG | 0644, 0).error(), std::errc::filename_too_long);
  const uint64_t ino = make_file("file");
  EXPECT_EQ(caller().write(ino, uint64_t(INT64_MAX) - 1, bytes("xx")).error(), std::errc::file_too_large);
  EXPECT_EQ(caller().readlink(ino).error(), std::errc::invalid_argument);
}

}  // namespace
}  // namespace ztmpfs
