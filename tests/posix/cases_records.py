"""Cases of what is kept beside names and contents: xattrs, locks, statfs, descriptors without names."""

import fcntl
import os
import struct

from posix_case import CONTENTS, OWNER, STRANGER, case, changed, opened, outcome, then, with_fd

VALUE_MAX = 65536
NAME_LONG = "user." + "n" * 250


def stored(name, value, path="file", flags=0):
    os.setxattr(path, name, value, flags)
    return os.getxattr(path, name)


for name in ("user.a", "trusted.a", "security.a"):
    case("xattr", f"{name} comes back", b"value", lambda name=name: stored(name, b"value"),
         needs_root=not name.startswith("user"))
case("xattr", "an empty value comes back", b"", lambda: stored("user.a", b""))
case("xattr", "a value of 64 KiB comes back", VALUE_MAX, lambda: len(stored("user.a", b"v" * VALUE_MAX)))
case("xattr", "a larger one is E2BIG", "E2BIG", lambda: stored("user.a", b"v" * (VALUE_MAX + 1)))
case("xattr", "a name of 255 bytes comes back", b"v", lambda: stored(NAME_LONG, b"v"))
case("xattr", "a longer one is ERANGE", "ERANGE", lambda: stored(NAME_LONG + "n", b"v"))
case("xattr", "no name is ERANGE", "ERANGE", lambda: stored("", b"v"))
case("xattr", "a name without a namespace is EOPNOTSUPP", "EOPNOTSUPP", lambda: stored("nonsense", b"v"))
case("xattr", "an unknown namespace is EOPNOTSUPP", "EOPNOTSUPP", lambda: stored("other.a", b"v"))
case("xattr", "a namespace without a name is EINVAL", "EINVAL", lambda: stored("user.", b"v"))
case("xattr", "a missing one is ENODATA", "ENODATA", lambda: os.getxattr("file", "user.a"))
case("xattr", "removing a missing one is ENODATA", "ENODATA", lambda: os.removexattr("file", "user.a"))
case("xattr", "a removed one is gone", [], lambda: then(
    lambda: stored("user.a", b"v"), lambda: os.removexattr("file", "user.a"), lambda: os.listxattr("file")))
case("xattr", "XATTR_CREATE of one that is there is EEXIST", "EEXIST", lambda: then(
    lambda: stored("user.a", b"v"), lambda: stored("user.a", b"w", flags=os.XATTR_CREATE)))
case("xattr", "XATTR_REPLACE of one that is not is ENODATA", "ENODATA",
     lambda: stored("user.a", b"v", flags=os.XATTR_REPLACE))
case("xattr", "unknown flags are EINVAL", "EINVAL", lambda: stored("user.a", b"v", flags=8))
case("xattr", "all are listed", ["user.a", "user.b"], lambda: then(
    lambda: stored("user.a", b"v"), lambda: stored("user.b", b"v"), lambda: sorted(os.listxattr("file"))))
case("xattr", "a user's on a link is EPERM", "EPERM",
     lambda: os.setxattr("link", "user.a", b"v", follow_symlinks=False))
case("xattr", "a user's on a FIFO is EPERM", "EPERM", lambda: stored("user.a", b"v", "fifo"))
case("xattr", "on a directory", b"v", lambda: stored("user.a", b"v", "dir"))
case("xattr", "ctime changes, and no other time", "c",
     lambda: changed("file", lambda: os.setxattr("file", "user.a", b"v")))
case("xattr", "removing changes ctime", "c", lambda: then(
    lambda: stored("user.a", b"v"), lambda: changed("file", lambda: os.removexattr("file", "user.a"))))
case("xattr", "without w is EACCES", "EACCES", lambda: stored("user.a", b"v"), uid=STRANGER)
case("xattr", "without r is EACCES", "EACCES", lambda: os.getxattr("file", "user.a"), uid=STRANGER,
     prepare=lambda: os.chmod("file", 0o600))
case("xattr", "trusted ones are root's: EPERM", "EPERM", lambda: stored("trusted.a", b"v"), uid=OWNER)
case("xattr", "trusted ones are not listed for others", ["user.a"], lambda: os.listxattr("file"), uid=OWNER,
     prepare=lambda: then(lambda: stored("user.a", b"v"), lambda: stored("trusted.a", b"v")))
case("xattr", "another name of the file has them too", b"v", lambda: then(
    lambda: stored("user.a", b"v"), lambda: os.link("file", "new"), lambda: os.getxattr("new", "user.a")))
case("xattr", "a missing file is ENOENT", "ENOENT", lambda: os.getxattr("missing", "user.a"))


# locks
def try_lock(fd, kind):
    return outcome(lambda: fcntl.flock(fd, kind | fcntl.LOCK_NB))


def two(act):
    with opened("file", os.O_RDWR) as first, opened("file", os.O_RDWR) as second:
        return act(first, second)


def in_child(act):
    """The result in a process that has inherited the descriptors, but no lock of the process."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.write(writer, str(outcome(act)).encode())
        os._exit(0)
    os.close(writer)
    result = os.read(reader, 100).decode()
    os.close(reader)
    os.wait()
    return result


def range_lock(fd, command, kind, start=0, length=0):
    """A struct flock of 64 bit; the answer's type."""
    answer = fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
    return struct.unpack("hhqqi4x", answer)[0]


OFD_GETLK, OFD_SETLK = 36, 37
case("locks", "flock: exclusive against exclusive is EAGAIN", (None, "EAGAIN"), lambda: two(
    lambda first, second: (try_lock(first, fcntl.LOCK_EX), try_lock(second, fcntl.LOCK_EX))))
case("locks", "flock: shared beside shared", (None, None), lambda: two(
    lambda first, second: (try_lock(first, fcntl.LOCK_SH), try_lock(second, fcntl.LOCK_SH))))
case("locks", "flock: closing lets go", None, lambda: then(
    lambda: with_fd("file", os.O_RDWR, lambda fd: try_lock(fd, fcntl.LOCK_EX)),
    lambda: with_fd("file", os.O_RDWR, lambda fd: try_lock(fd, fcntl.LOCK_EX))))
case("locks", "flock: a copy of the descriptor holds the same lock", None, lambda: with_fd(
    "file", os.O_RDWR, lambda fd: then(lambda: try_lock(fd, fcntl.LOCK_EX),
                                                lambda: try_lock(os.dup(fd), fcntl.LOCK_EX))))
case("locks", "POSIX: another process is EAGAIN", "EAGAIN", lambda: two(lambda first, second: then(
    lambda: range_lock(first, fcntl.F_SETLK, fcntl.F_WRLCK),
    lambda: in_child(lambda: range_lock(second, fcntl.F_SETLK, fcntl.F_WRLCK)))))
case("locks", "POSIX: another part of the file is free", str(fcntl.F_WRLCK), lambda: two(lambda first, second: then(
    lambda: range_lock(first, fcntl.F_SETLK, fcntl.F_WRLCK, 0, 10),
    lambda: in_child(lambda: range_lock(second, fcntl.F_SETLK, fcntl.F_WRLCK, 10, 10)))))
case("locks", "POSIX: F_GETLK tells another's lock", str(fcntl.F_WRLCK), lambda: two(lambda first, second: then(
    lambda: range_lock(first, fcntl.F_SETLK, fcntl.F_WRLCK),
    lambda: in_child(lambda: range_lock(second, fcntl.F_GETLK, fcntl.F_RDLCK)))))
case("locks", "POSIX: closing any descriptor lets go", str(fcntl.F_WRLCK), lambda: closing_any())
case("locks", "POSIX: a write lock through a descriptor open for reading is EBADF", "EBADF", lambda: with_fd(
    "file", os.O_RDONLY, lambda fd: range_lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK)))
case("locks", "POSIX: a range before the beginning is EINVAL", "EINVAL", lambda: with_fd(
    "file", os.O_RDWR, lambda fd: range_lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK, 5, -10)))
case("locks", "OFD: two descriptors of a process are EAGAIN", "EAGAIN", lambda: two(lambda first, second: then(
    lambda: range_lock(first, OFD_SETLK, fcntl.F_WRLCK), lambda: range_lock(second, OFD_SETLK, fcntl.F_WRLCK))))
case("locks", "OFD: locks of a file survive the closing of another descriptor", fcntl.F_WRLCK, lambda: two(
    lambda first, second: then(
        lambda: range_lock(first, OFD_SETLK, fcntl.F_WRLCK), lambda: os.close(os.open("file", os.O_RDONLY)),
        lambda: range_lock(second, OFD_GETLK, fcntl.F_RDLCK))))


def closing_any():
    with opened("file", os.O_RDWR) as first:
        range_lock(first, fcntl.F_SETLK, fcntl.F_WRLCK)
        os.close(os.open("file", os.O_RDONLY))
        return in_child(lambda: with_fd("file", os.O_RDWR, lambda fd: range_lock(fd, fcntl.F_SETLK, fcntl.F_WRLCK)))


# statfs, and what concerns the file system as a whole
case("statfs", "names may have 255 bytes", 255, lambda: os.statvfs(".").f_namemax)
case("statfs", "there are blocks and inodes, and not more free ones", True, lambda: (
    lambda s: s.f_blocks >= s.f_bfree >= s.f_bavail > 0 and s.f_files >= s.f_ffree > 0)(os.statvfs(".")))
case("statfs", "fsync, fdatasync and sync succeed", None, lambda: with_fd(
    "file", os.O_RDWR, lambda fd: (os.fsync(fd), os.fdatasync(fd), os.sync())[0]))
case("statfs", "fsync of a directory succeeds", None, lambda: with_fd("dir", os.O_RDONLY, os.fsync))
case("statfs", "a file of ten thousand that are open and removed has its contents", b"9999", lambda: many_removed())
case("statfs", "a file's number stays when it is renamed and written", True, lambda: kept_number())


def many_removed():
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_100, 10_100))
    fds = []
    for number in range(10_000):
        fds.append(os.open("new", os.O_RDWR | os.O_CREAT | os.O_EXCL))
        os.write(fds[-1], str(number).encode())
        os.unlink("new")
    assert all(os.pread(fd, 9, 0) == str(number).encode() for number, fd in enumerate(fds))
    return os.pread(fds[-1], 9, 0)


def kept_number():
    before = os.stat("file").st_ino
    os.rename("file", "dir/file")
    with open("dir/file", "ab") as file:
        file.write(CONTENTS)
    return os.stat("dir/file").st_ino == before
