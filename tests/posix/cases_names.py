"""Cases of names: link, mkdir, mkfifo, mknod, rename, rmdir, symlink, unlink, readdir."""

import os
import stat

from posix_case import (AT_EMPTY_PATH, AT_SYMLINK_FOLLOW, NAME_MAX, OWNER, PATH_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE,
                        RENAME_WHITEOUT, STRANGER, case, changed, contents, linkat, mode_of, opened, owner_of,
                        renameat2, then)

LONG = "n" * NAME_MAX
TOO_LONG = "n" * (NAME_MAX + 1)
LONG_PATH = "./" * (PATH_MAX // 2 - 2) + "new"  # with its end one byte less than PATH_MAX
TOO_LONG_PATH = "./" * (PATH_MAX // 2) + "new"

# What each call that makes a name has to say of the name itself.
MAKERS = {
    "mkdir": os.mkdir,
    "mkfifo": os.mkfifo,
    "mknod": lambda path: os.mknod(path, stat.S_IFREG | 0o644),
    "symlink": lambda path: os.symlink("target", path),
    "link": lambda path: os.link("file", path),
    "open": lambda path: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)),
}
for group, make in MAKERS.items():
    def made(path, make=make):
        make(path)
        return os.path.lexists(path)

    case(group, "a new name is there", True, lambda made=made: made("new"))
    case(group, "a name of 255 bytes is there", True, lambda made=made: made(LONG))
    case(group, "a name of 256 bytes is ENAMETOOLONG", "ENAMETOOLONG", lambda made=made: made(TOO_LONG))
    case(group, "a path of 4095 bytes is found", True, lambda made=made: made(LONG_PATH))
    case(group, "a path of more is ENAMETOOLONG", "ENAMETOOLONG", lambda made=made: made(TOO_LONG_PATH))
    case(group, "an existing file is EEXIST", "EEXIST", lambda made=made: made("other"))
    case(group, "an existing directory is EEXIST", "EEXIST", lambda made=made: made("dir"))
    case(group, "a symbolic link is EEXIST", "EEXIST", lambda made=made: made("link"))
    case(group, "a dangling link is EEXIST", "EEXIST", lambda made=made: made("dangling"))
    case(group, "an endless link is EEXIST", "EEXIST", lambda made=made: made("loop"))
    case(group, "no name is ENOENT", "ENOENT", lambda made=made: made(""))
    case(group, "a missing directory is ENOENT", "ENOENT", lambda made=made: made("missing/new"))
    case(group, "a file as directory is ENOTDIR", "ENOTDIR", lambda made=made: made("file/new"))
    case(group, "an endless link as directory is ELOOP", "ELOOP", lambda made=made: made("loop/new"))
    case(group, "a directory of another user is EACCES", "EACCES", lambda made=made: made("dir/new"), uid=STRANGER,
         prepare=lambda: os.chmod("file", 0o666))  # or protected_hardlinks comes first
    case(group, "a directory without x is EACCES", "EACCES", lambda made=made: made("dir/new"), uid=OWNER,
         prepare=lambda: os.chmod("dir", 0o600))
    case(group, "a directory without w is EACCES", "EACCES", lambda made=made: made("dir/new"), uid=OWNER,
         prepare=lambda: os.chmod("dir", 0o500))
    case(group, "mtime and ctime of the directory change", "mc",
         lambda make=make: changed("dir", lambda: make("dir/new")))
    case(group, "a failure changes no time", "", lambda make=make: changed(".", lambda: swallow(make, "other")))


def swallow(act, *arguments):
    try:
        act(*arguments)
    except OSError:
        pass


def links(path):
    return os.lstat(path).st_nlink


# Making: owner, mode, links, size
case("mkdir", "it has two links, and its parent one more", (2, 3), lambda: then(
    lambda: os.mkdir("dir/new"), lambda: (links("dir/new"), links("dir"))))
case("mkdir", "the umask takes its bits", "0o750", lambda: then(
    lambda: os.umask(0o027), lambda: os.mkdir("new", 0o777), lambda: mode_of("new")))
case("mkdir", "the sticky bit is kept, suid and sgid are not", "0o1755", lambda: then(
    lambda: os.mkdir("new", 0o7755), lambda: mode_of("new")))
case("mkdir", "an sgid directory hands on group and bit", (OWNER, "0o2755"), lambda: then(
    lambda: os.mkdir("dir/new"), lambda: (owner_of("dir/new")[1], mode_of("dir/new"))),
     prepare=lambda: os.chmod("dir", 0o2777), uid=STRANGER)
case("mkdir", "a trailing slash is fine", True, lambda: then(lambda: os.mkdir("new/"), lambda: os.path.isdir("new")))
case("mkdir", "its size is that of an empty directory, as in tmpfs", 40, lambda: then(
    lambda: os.mkdir("new"), lambda: os.stat("new").st_size))
case("open", "a file in an sgid directory has the directory's group", OWNER, lambda: then(
    lambda: MAKERS["open"]("dir/new"), lambda: owner_of("dir/new")[1]),
     prepare=lambda: os.chmod("dir", 0o2777), uid=STRANGER)
case("mknod", "a FIFO, a socket and a device of root's", (True, True, (1, 3)), lambda: then(
    lambda: os.mknod("a", stat.S_IFIFO | 0o600), lambda: os.mknod("b", stat.S_IFSOCK | 0o600),
    lambda: os.mknod("c", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    lambda: (stat.S_ISFIFO(os.stat("a").st_mode), stat.S_ISSOCK(os.stat("b").st_mode),
             (os.major(os.stat("c").st_rdev), os.minor(os.stat("c").st_rdev)))), needs_root=True)
case("mknod", "large device numbers are kept", (4000, 1_000_000), lambda: then(
    lambda: os.mknod("c", stat.S_IFBLK | 0o600, os.makedev(4000, 1_000_000)),
    lambda: (os.major(os.stat("c").st_rdev), os.minor(os.stat("c").st_rdev))), needs_root=True)
case("mknod", "a user's device is EPERM", "EPERM", lambda: os.mknod("dir/c", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
     uid=OWNER)
case("mknod", "a directory is EPERM", "EPERM", lambda: os.mknod("new", stat.S_IFDIR | 0o700))
case("mknod", "an unknown type is EINVAL", "EINVAL", lambda: os.mknod("new", 0o150600))
case("symlink", "its target comes back, and is its size", ("a/b", 3), lambda: then(
    lambda: os.symlink("a/b", "new"), lambda: (os.readlink("new"), os.lstat("new").st_size)))
case("symlink", "a target of 4095 bytes comes back", PATH_MAX - 1, lambda: then(
    lambda: os.symlink("t" * (PATH_MAX - 1), "new"), lambda: len(os.readlink("new"))))
case("symlink", "a target of 4096 bytes is ENAMETOOLONG", "ENAMETOOLONG", lambda: os.symlink("t" * PATH_MAX, "new"))
case("symlink", "an empty target is ENOENT", "ENOENT", lambda: os.symlink("", "new"))
case("symlink", "its mode is 0777 whatever the umask", "0o777", lambda: then(
    lambda: os.umask(0o777), lambda: os.symlink("a", "new"), lambda: mode_of("new")))
case("symlink", "readlink of a file is EINVAL", "EINVAL", lambda: os.readlink("file"))
case("symlink", "an endless link is ELOOP", "ELOOP", lambda: os.stat("loop"))
case("symlink", "forty links in a row are followed", True, lambda: then(
    lambda: [os.symlink(f"l{i + 1}" if i < 39 else "file", f"l{i}") for i in range(40)],
    lambda: os.path.exists("l0")))
case("symlink", "forty-one are ELOOP", "ELOOP", lambda: then(
    lambda: [os.symlink(f"l{i + 1}" if i < 40 else "file", f"l{i}") for i in range(41)], lambda: os.stat("l0")))

# link
case("link", "both names are one file", (2, True), lambda: then(
    lambda: os.link("file", "new"), lambda: (links("file"), os.path.samefile("file", "new"))))
case("link", "ctime of the file changes", "c", lambda: changed("file", lambda: os.link("file", "new")))
case("link", "a directory is EPERM", "EPERM", lambda: os.link("dir", "new"))
case("link", "a missing file is ENOENT", "ENOENT", lambda: os.link("missing", "new"))
case("link", "a symbolic link itself is linked", True, lambda: then(
    lambda: os.link("link", "new", follow_symlinks=False), lambda: os.path.islink("new")))
case("link", "AT_SYMLINK_FOLLOW links what it names", False, lambda: then(
    lambda: linkat(-100, "link", "new", AT_SYMLINK_FOLLOW), lambda: os.path.islink("new")))
case("link", "other flags are EINVAL", "EINVAL", lambda: linkat(-100, "file", "new", 0x8))
case("link", "AT_EMPTY_PATH names what is open", 2, lambda: then(
    lambda: link_open("file", "new"), lambda: links("new")), needs_root=True)
case("link", "an open file without names stays without", "ENOENT", lambda: link_removed("file", "new"))
case("link", "a trailing slash behind the new name is ENOENT", "ENOENT", lambda: os.link("file", "new/"))


def link_open(path, new):
    with opened(path, os.O_RDONLY) as fd:
        linkat(fd, "", new, AT_EMPTY_PATH)


def link_removed(path, new):
    with opened(path, os.O_RDONLY) as fd:
        os.unlink(path)
        linkat(-100, f"/proc/self/fd/{fd}", new, AT_SYMLINK_FOLLOW)


# unlink and rmdir
case("unlink", "the name is gone", False, lambda: then(lambda: os.unlink("file"), lambda: os.path.exists("file")))
case("unlink", "a missing name is ENOENT", "ENOENT", lambda: os.unlink("missing"))
case("unlink", "a directory is EISDIR", "EISDIR", lambda: os.unlink("dir"))
case("unlink", "a trailing slash behind a file is ENOTDIR", "ENOTDIR", lambda: os.unlink("file/"))
case("unlink", "a name that is too long is ENAMETOOLONG", "ENAMETOOLONG", lambda: os.unlink(TOO_LONG))
case("unlink", "a symbolic link goes, what it names stays", (False, True), lambda: then(
    lambda: os.unlink("link"), lambda: (os.path.lexists("link"), os.path.exists("file"))))
case("unlink", "mtime and ctime of the directory change", "mc",
     lambda: changed("full", lambda: os.unlink("full/entry")))
case("unlink", "ctime of a file with another name changes", "c", lambda: changed("new", lambda: os.unlink("file")),
     prepare=lambda: os.link("file", "new"))
case("unlink", "another user's directory is EACCES", "EACCES", lambda: os.unlink("full/entry"), uid=STRANGER)
case("unlink", "in a sticky directory another user's file is EPERM", "EPERM", lambda: os.unlink("full/entry"),
     prepare=lambda: os.chmod("full", 0o1777), uid=STRANGER)
case("unlink", "in a sticky directory one's own file goes", None, lambda: os.unlink("full/entry"),
     prepare=lambda: then(lambda: os.chmod("full", 0o1777), lambda: os.chown("full", 0, 0)), uid=OWNER)
case("unlink", "an open file is read and written on", (b"newcontents", 0), lambda: unlink_open())
case("rmdir", "the directory is gone, and its parent has a link less", (False, 2), lambda: then(
    lambda: os.unlink("full/entry"), lambda: os.rmdir("full/sub"),
    lambda: (os.path.exists("full/sub"), links("full"))))
case("rmdir", "a full directory is ENOTEMPTY", "ENOTEMPTY", lambda: os.rmdir("full"))
case("rmdir", "a file is ENOTDIR", "ENOTDIR", lambda: os.rmdir("file"))
case("rmdir", "a link to a directory is ENOTDIR", "ENOTDIR", lambda: os.rmdir("dirlink"))
case("rmdir", "a missing name is ENOENT", "ENOENT", lambda: os.rmdir("missing"))
case("rmdir", "'.' is EINVAL", "EINVAL", lambda: os.rmdir("dir/."))
case("rmdir", "'..' is ENOTEMPTY", "ENOTEMPTY", lambda: os.rmdir("dir/.."))
case("rmdir", "a name that is too long is ENAMETOOLONG", "ENAMETOOLONG", lambda: os.rmdir(TOO_LONG))
case("rmdir", "a directory of another user is EACCES", "EACCES", lambda: os.rmdir("full/sub"), uid=STRANGER)
case("rmdir", "in a sticky directory another user's is EPERM", "EPERM", lambda: os.rmdir("full/sub"),
     prepare=lambda: os.chmod("full", 0o1777), uid=STRANGER)
case("rmdir", "an open directory has no links, no entries, and takes none", (0, [], "ENOENT"), lambda: rmdir_open())


def unlink_open():
    with opened("file", os.O_RDWR) as fd:
        os.unlink("file")
        os.ftruncate(fd, 8)
        os.pwrite(fd, b"newcontents", 0)
        return os.pread(fd, 100, 0), os.fstat(fd).st_nlink


def rmdir_open():
    fd = os.open("dir", os.O_RDONLY)
    os.rmdir("dir")

    def attempt(act):
        try:
            return act()
        except OSError as error:
            return "ENOENT" if error.errno == 2 else error.errno
    result = (os.fstat(fd).st_nlink, attempt(lambda: os.listdir(fd)),
              attempt(lambda: os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=fd)))
    os.close(fd)
    return result


# rename
def renamed(old, new):
    os.rename(old, new)
    return os.path.lexists(old), os.path.lexists(new)


case("rename", "the old name is gone, the new is there", (False, True), lambda: renamed("file", "new"))
case("rename", "onto itself changes nothing", (True, True), lambda: renamed("file", "file"))
case("rename", "onto another name of the file leaves both", (True, True), lambda: renamed("file", "new"),
     prepare=lambda: os.link("file", "new"))
case("rename", "the target's contents go", b"other", lambda: then(lambda: os.rename("other", "file"),
                                                                  lambda: contents("file")))
case("rename", "ctime of the file changes", "c", lambda: renamed_times())
case("rename", "both directories change", ("mc", "mc"), lambda: renamed_directories())
case("rename", "a missing file is ENOENT", "ENOENT", lambda: renamed("missing", "new"))
case("rename", "a missing directory is ENOENT", "ENOENT", lambda: renamed("file", "missing/new"))
case("rename", "a file onto a directory is EISDIR", "EISDIR", lambda: renamed("file", "dir"))
case("rename", "a directory onto a file is ENOTDIR", "ENOTDIR", lambda: renamed("dir", "file"))
case("rename", "a directory onto an empty one", (False, True), lambda: renamed("full", "dir"))
case("rename", "a directory onto a full one is ENOTEMPTY", "ENOTEMPTY", lambda: renamed("dir", "full"))
case("rename", "a directory into itself is EINVAL", "EINVAL", lambda: renamed("full", "full/sub/new"))
case("rename", "a directory onto its parent is ENOTEMPTY", "ENOTEMPTY", lambda: renamed("full/sub", "full"))
case("rename", "'.' is EBUSY", "EBUSY", lambda: renamed("dir/.", "new"))
case("rename", "onto '..' is EBUSY", "EBUSY", lambda: renamed("dir", "full/.."))
case("rename", "a new name that is too long is ENAMETOOLONG", "ENAMETOOLONG", lambda: renamed("file", TOO_LONG))
case("rename", "an old name that is too long is ENAMETOOLONG", "ENAMETOOLONG", lambda: renamed(TOO_LONG, "new"))
case("rename", "a file with a trailing slash is ENOTDIR", "ENOTDIR", lambda: renamed("file/", "new"))
case("rename", "a symbolic link itself moves", True, lambda: then(lambda: os.rename("link", "new"),
                                                                  lambda: os.path.islink("new")))
case("rename", "a directory takes its link along", (2, 3), lambda: then(
    lambda: os.rename("full/sub", "dir/sub"), lambda: (links("full"), links("dir"))))
case("rename", "'..' of a moved directory is the new parent", True, lambda: then(
    lambda: os.rename("full/sub", "dir/sub"), lambda: os.path.samefile("dir/sub/..", "dir")))
case("rename", "another user's directory is EACCES", "EACCES", lambda: renamed("full/entry", "full/new"), uid=STRANGER)
case("rename", "out of a sticky directory another user's file is EPERM", "EPERM",
     lambda: renamed("full/entry", "full/new"), prepare=lambda: os.chmod("full", 0o1777), uid=STRANGER)
case("rename", "onto another user's file in a sticky directory is EPERM", "EPERM",
     lambda: then(lambda: MAKERS["open"]("full/mine"), lambda: renamed("full/mine", "full/entry")),
     prepare=lambda: os.chmod("full", 0o1777), uid=STRANGER)
case("rename", "a directory that one may not write is EACCES when its parent changes", "EACCES",
     lambda: renamed("full/sub", "dir/sub"), uid=STRANGER,
     prepare=lambda: [os.chmod(name, 0o777) for name in ("full", "dir")])
case("rename", "an open file that is replaced is read on", (b"0123", 0), lambda: replace_open())
case("rename", "NOREPLACE onto a name is EEXIST", "EEXIST", lambda: renameat2("file", "other", RENAME_NOREPLACE))
case("rename", "NOREPLACE onto none", 0, lambda: renameat2("file", "new", RENAME_NOREPLACE))
case("rename", "NOREPLACE onto a dangling link is EEXIST", "EEXIST",
     lambda: renameat2("file", "dangling", RENAME_NOREPLACE))
case("rename", "EXCHANGE swaps", (b"other", True), lambda: then(
    lambda: renameat2("file", "other", RENAME_EXCHANGE), lambda: (contents("file"), os.path.exists("other"))))
case("rename", "EXCHANGE of a file and a directory", (True, True, 3, 2), lambda: then(
    lambda: renameat2("full/sub", "dir/new", RENAME_EXCHANGE),
    lambda: (os.path.isfile("full/sub"), os.path.isdir("dir/new"), links("dir"), links("full"))),
     prepare=lambda: MAKERS["open"]("dir/new"))
case("rename", "EXCHANGE with a missing name is ENOENT", "ENOENT", lambda: renameat2("file", "new", RENAME_EXCHANGE))
case("rename", "EXCHANGE of a directory with what is in it is EINVAL", "EINVAL",
     lambda: renameat2("full", "full/sub", RENAME_EXCHANGE))
case("rename", "NOREPLACE and EXCHANGE together are EINVAL", "EINVAL",
     lambda: renameat2("file", "other", RENAME_NOREPLACE | RENAME_EXCHANGE))
case("rename", "an unknown flag is EINVAL", "EINVAL", lambda: renameat2("file", "new", 1 << 6))
case("whiteout", "WHITEOUT leaves a device 0:0", (True, 0), lambda: then(
    lambda: renameat2("file", "new", RENAME_WHITEOUT),
    lambda: (stat.S_ISCHR(os.lstat("file").st_mode), os.lstat("file").st_rdev)), needs_root=True)
case("whiteout", "WHITEOUT and EXCHANGE are EINVAL", "EINVAL",
     lambda: renameat2("file", "other", RENAME_WHITEOUT | RENAME_EXCHANGE), needs_root=True)


def renamed_times():
    before = os.lstat("file")
    os.rename("file", "new")
    after = os.lstat("new")
    names = {"a": "st_atime_ns", "m": "st_mtime_ns", "c": "st_ctime_ns"}
    return "".join(letter for letter, name in names.items() if getattr(before, name) != getattr(after, name))


def renamed_directories():
    first = changed("full", lambda: os.rename("full/entry", "dir/entry"))
    return first, changed("full", lambda: os.rename("dir/entry", "full/entry"))


def replace_open():
    with opened("file", os.O_RDONLY) as fd:
        os.rename("other", "file")
        return os.read(fd, 4), os.fstat(fd).st_nlink


# readdir
case("readdir", "all names, each once",
     ["dangling", "dir", "dirlink", "fifo", "file", "full", "link", "loop", "other"], lambda: sorted(os.listdir(".")))
case("readdir", "a thousand entries, each once", True,
     lambda: then(lambda: [MAKERS["open"](f"dir/{i}") for i in range(1000)],
                  lambda: sorted(map(int, os.listdir("dir"))) == list(range(1000))))
case("readdir", "types without asking the files", {"dir": True, "file": False, "link": False},
     lambda: {entry.name: entry.is_dir(follow_symlinks=False) for entry in os.scandir(".")
              if entry.name in ("dir", "file", "link")})
case("readdir", "inode numbers are those of stat", True,
     lambda: all(entry.inode() == os.lstat(entry.name).st_ino for entry in os.scandir(".")))
case("readdir", "a file is ENOTDIR", "ENOTDIR", lambda: os.listdir("file"))
case("readdir", "a directory without r is EACCES", "EACCES", lambda: os.listdir("dir"), uid=STRANGER,
     prepare=lambda: os.chmod("dir", 0o711))
case("readdir", "reading changes no time", "", lambda: changed("full", lambda: os.listdir("full")))
case("readdir", "its size is 20 bytes an entry more than 40, as in tmpfs", 80, lambda: os.stat("full").st_size)
