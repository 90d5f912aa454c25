"""Cases of contents: open, truncate, ftruncate, read and write, fallocate, copy_file_range, seek, mmap."""

import mmap
import os
import resource
import signal

from posix_case import (AT_SYMLINK_FOLLOW, COLLAPSE_RANGE, CONTENTS, INSERT_RANGE, KEEP_SIZE, NAME_MAX, OFFSET_MAX,
                        OWNER, PUNCH_HOLE, STRANGER, ZERO_RANGE, case, changed, contents, copy_file_range, fallocate,
                        linkat, mode_of, opened, outcome, then, with_fd)

TOO_LONG = "n" * (NAME_MAX + 1)
WRITE, READ, BOTH, CREATE = os.O_WRONLY, os.O_RDONLY, os.O_RDWR, os.O_CREAT
TMPFILE = 0o20200000
MIB = 1 << 20


def size_of(path):
    return os.stat(path).st_size


def try_open(path, flags, mode=0o644):
    return lambda: os.close(os.open(path, flags | os.O_NONBLOCK, mode))


# open
case("open", "a missing file is ENOENT", "ENOENT", try_open("missing", READ))
case("open", "a directory for writing is EISDIR", "EISDIR", try_open("dir", WRITE))
case("open", "a directory with O_CREAT is EISDIR", "EISDIR", try_open("dir", READ | CREATE))
case("open", "a file with O_DIRECTORY is ENOTDIR", "ENOTDIR", try_open("file", READ | os.O_DIRECTORY))
case("open", "a link with O_NOFOLLOW is ELOOP", "ELOOP", try_open("link", READ | os.O_NOFOLLOW))
case("open", "a link to a directory with O_DIRECTORY and O_NOFOLLOW is ENOTDIR", "ENOTDIR",
     try_open("dirlink", READ | os.O_NOFOLLOW | os.O_DIRECTORY))
case("open", "an endless link is ELOOP", "ELOOP", try_open("loop", READ))
case("open", "O_CREAT through a dangling link makes what it names", True, lambda: then(
    try_open("dangling", WRITE | CREATE), lambda: os.path.isfile("missing")))
case("open", "O_CREAT and O_EXCL onto a dangling link is EEXIST", "EEXIST",
     try_open("dangling", WRITE | CREATE | os.O_EXCL))
case("open", "O_CREAT with a trailing slash is EISDIR", "EISDIR", try_open("new/", WRITE | CREATE))
case("open", "O_CREAT and O_DIRECTORY is EINVAL", "EINVAL", try_open("new", READ | CREATE | os.O_DIRECTORY))
case("open", "a file as directory is ENOTDIR", "ENOTDIR", try_open("file/new", READ))
case("open", "a name that is too long is ENAMETOOLONG", "ENAMETOOLONG", try_open(TOO_LONG, READ))
case("open", "a FIFO for writing without a reader is ENXIO", "ENXIO", try_open("fifo", WRITE))
case("open", "a FIFO for reading does not wait when asked", None, try_open("fifo", READ))
case("open", "a socket is ENXIO", "ENXIO", try_open("socket", READ), prepare=lambda: os.mknod("socket", 0o140600))
case("open", "a device on a nodev mount is EACCES", "EACCES", try_open("null", READ), needs_root=True,
     prepare=lambda: os.mknod("null", 0o020666, os.makedev(1, 3)))
case("open", "O_TRUNC empties, and changes mtime and ctime", ("mc", 0), lambda: (
    changed("file", try_open("file", WRITE | os.O_TRUNC)), size_of("file")))
case("open", "O_TRUNC of an empty file changes mtime and ctime too", "mc", lambda: then(
    lambda: os.truncate("file", 0), lambda: changed("file", try_open("file", WRITE | os.O_TRUNC))))
case("open", "opening changes no time", "", lambda: changed("file", try_open("file", BOTH)))
case("open", "O_CREAT of what exists changes nothing", ("", "0o644"), lambda: (
    changed("file", try_open("file", WRITE | CREATE, 0o777)), mode_of("file")))
case("open", "a new file that its mode forbids to write is written through this descriptor", 3, lambda: then(
    lambda: with_fd("new", WRITE | CREATE, lambda fd: (os.fchmod(fd, 0o400), os.write(fd, b"abc"))),
    lambda: size_of("new")))
case("open", "O_APPEND writes at the end wherever it is", b"abcdef", lambda: appended())
case("open", "without r is EACCES", "EACCES", try_open("file", READ), uid=STRANGER,
     prepare=lambda: os.chmod("file", 0o622))
case("open", "without w is EACCES", "EACCES", try_open("file", WRITE), uid=STRANGER)
case("open", "O_TRUNC without w is EACCES", "EACCES", try_open("file", READ | os.O_TRUNC), uid=STRANGER)
case("open", "O_NOATIME by others than the owner is EPERM", "EPERM", try_open("file", READ | os.O_NOATIME),
     uid=STRANGER)
case("open", "O_PATH reads nothing: EBADF", "EBADF", lambda: with_fd("file", os.O_PATH, lambda fd: os.read(fd, 1)))
case("open", "O_DIRECT reads and writes", CONTENTS[:512], lambda: direct())
case("open", "a running program is ETXTBSY for writing", "ETXTBSY", lambda: busy_program(), needs_root=True)
case("tmpfile", "it has no links, is written, and gets a name", (0, b"abc", 1), lambda: named_tmpfile())
case("tmpfile", "with O_EXCL it gets none: ENOENT", "ENOENT", lambda: named_tmpfile(os.O_EXCL))
case("tmpfile", "for reading only is EINVAL", "EINVAL", try_open(".", TMPFILE | READ))
case("tmpfile", "in a file is ENOTDIR", "ENOTDIR", try_open("file", TMPFILE | BOTH))
case("tmpfile", "in a directory without w is EACCES", "EACCES", try_open("dir", TMPFILE | BOTH), uid=STRANGER)


def appended():
    with opened("new", WRITE | CREATE | os.O_APPEND) as fd:
        os.write(fd, b"abc")
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, b"def")
    return contents("new")


def direct():
    with opened("file", BOTH | os.O_DIRECT) as fd:
        buffer = mmap.mmap(-1, 4096)
        os.preadv(fd, [buffer], 0)
        os.pwritev(fd, [buffer], 4096)
    return contents("file")[4096:4608]


# Not from a script's mount with noexec: both mounts here allow it.
def busy_program():
    with open("/bin/sleep", "rb") as source, open("program", "wb") as target:
        target.write(source.read())
    os.chmod("program", 0o755)
    child = os.posix_spawn("./program", ["program", "5"], {})
    try:
        return try_open("program", WRITE)()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def named_tmpfile(flags=0):
    with opened(".", TMPFILE | BOTH | flags) as fd:
        os.write(fd, b"abc")
        before = os.fstat(fd).st_nlink
        linkat(-100, f"/proc/self/fd/{fd}", "new", AT_SYMLINK_FOLLOW)
        return before, contents("new"), os.fstat(fd).st_nlink


# truncate and ftruncate
TRUNCATERS = {
    "truncate": lambda size, path="file": os.truncate(path, size),
    "ftruncate": lambda size, path="file": with_fd(path, WRITE, lambda fd: os.ftruncate(fd, size)),
}
for group, cut in TRUNCATERS.items():
    case(group, "shorter", CONTENTS[:7], lambda cut=cut: then(lambda: cut(7), lambda: contents("file")))
    case(group, "longer: zeros behind", CONTENTS + bytes(5000), lambda cut=cut: then(
        lambda: cut(len(CONTENTS) + 5000), lambda: contents("file")))
    case(group, "shorter and longer again: zeros, not what was", CONTENTS[:7] + bytes(900), lambda cut=cut: then(
        lambda: cut(7), lambda: cut(907), lambda: contents("file")))
    case(group, "mtime and ctime change", "mc", lambda cut=cut: changed("file", lambda: cut(7)))
    case(group, "a negative size is EINVAL", "EINVAL", lambda cut=cut: cut(-1))
    case(group, "the largest size", OFFSET_MAX, lambda cut=cut: then(lambda: cut(OFFSET_MAX), lambda: size_of("file")))
    case(group, "a directory is EISDIR", "EISDIR", lambda cut=cut: cut(0, "dir"))
    case(group, "beyond RLIMIT_FSIZE is EFBIG", "EFBIG", lambda cut=cut: limited(lambda: cut(5000)))
case("truncate", "the same size changes mtime and ctime", "mc",
     lambda: changed("file", lambda: os.truncate("file", 1000)))
case("truncate", "the same size of an empty file changes no time", "",
     lambda: changed("new", lambda: os.truncate("new", 0)),
     prepare=lambda: try_open("new", CREATE)(), ours="mc", section="Times")
case("truncate", "a FIFO is EINVAL", "EINVAL", lambda: os.truncate("fifo", 0))
case("truncate", "a missing file is ENOENT", "ENOENT", lambda: os.truncate("missing", 0))
case("truncate", "without w is EACCES", "EACCES", lambda: os.truncate("file", 0), uid=STRANGER)
case("truncate", "an endless link is ELOOP", "ELOOP", lambda: os.truncate("loop", 0))
case("ftruncate", "the same size changes mtime and ctime", "mc",
     lambda: changed("file", lambda: with_fd("file", WRITE, lambda fd: os.ftruncate(fd, 1000))))
case("ftruncate", "a descriptor open for reading is EINVAL", "EINVAL",
     lambda: with_fd("file", READ, lambda fd: os.ftruncate(fd, 0)))


def limited(act, limit=2000):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return act()


# read and write
def pread(path, length, offset):
    return with_fd(path, READ, lambda fd: os.pread(fd, length, offset))


def pwrite(path, data, offset):
    return with_fd(path, WRITE, lambda fd: os.pwrite(fd, data, offset))


case("io", "reading past the end gives what is there, then nothing", (b"789", b""), lambda: (
    pread("file", 10, 997), pread("file", 10, 1000)))
case("io", "writing past the end leaves zeros between", CONTENTS + bytes(9000) + b"x", lambda: then(
    lambda: pwrite("file", b"x", 10000), lambda: contents("file")))
case("io", "a negative offset is EINVAL", "EINVAL", lambda: pread("file", 1, -1))
case("io", "writing at a negative offset is EINVAL", "EINVAL", lambda: pwrite("file", b"x", -1))
case("io", "the last byte of the largest file is written and read", (1, b"x", OFFSET_MAX), lambda: (
    pwrite("file", b"x", OFFSET_MAX - 1), pread("file", 1, OFFSET_MAX - 1), size_of("file")))
case("io", "a write that crosses the largest offset is EINVAL", "EINVAL",
     lambda: pwrite("file", b"abcd", OFFSET_MAX - 2))
case("io", "a write at the largest offset is EINVAL", "EINVAL", lambda: pwrite("file", b"x", OFFSET_MAX))
case("io", "an offset and length that overflow are EINVAL", "EINVAL", lambda: pread("file", 4096, OFFSET_MAX - 5))
case("io", "a write at RLIMIT_FSIZE is EFBIG", "EFBIG", lambda: limited(lambda: pwrite("file", b"x", 2000)))
case("io", "a write across RLIMIT_FSIZE is cut", 10, lambda: limited(lambda: pwrite("file", b"x" * 20, 1990)))
case("io", "a descriptor open for reading is not written: EBADF", "EBADF",
     lambda: with_fd("file", READ, lambda fd: os.write(fd, b"x")))
case("io", "one open for writing is not read: EBADF", "EBADF",
     lambda: with_fd("file", WRITE, lambda fd: os.read(fd, 1)))
case("io", "a directory is not read: EISDIR", "EISDIR", lambda: with_fd("dir", READ, lambda fd: os.read(fd, 1)))
case("io", "writing changes mtime and ctime", "mc", lambda: changed("file", lambda: pwrite("file", b"x", 0)))
case("io", "writing nothing changes no time", "", lambda: changed("file", lambda: pwrite("file", b"", 0)))
case("io", "reading changes no time", "", lambda: changed("file", lambda: contents("file")))
case("io", "a file that is written has blocks, even a byte of it", True, lambda: then(
    lambda: pwrite("new", b"x", 0), lambda: os.stat("new").st_blocks > 0), prepare=lambda: try_open("new", CREATE)())
case("io", "an empty file has none", 0, lambda: os.stat("new").st_blocks, prepare=lambda: try_open("new", CREATE)())

# fallocate
LENGTH = len(CONTENTS)


def allocate(mode, offset, length, flags=BOTH, path="file"):
    return with_fd(path, flags, lambda fd: fallocate(fd, mode, offset, length))


case("fallocate", "makes the file longer, with zeros", CONTENTS + bytes(500), lambda: then(
    lambda: allocate(0, 0, LENGTH + 500), lambda: contents("file")))
case("fallocate", "within the file changes no byte", CONTENTS, lambda: then(
    lambda: allocate(0, 10, 20), lambda: contents("file")))
case("fallocate", "KEEP_SIZE leaves the size", LENGTH, lambda: then(
    lambda: allocate(KEEP_SIZE, 0, 100_000), lambda: size_of("file")))
case("fallocate", "PUNCH_HOLE leaves zeros", CONTENTS[:10] + bytes(20) + CONTENTS[30:], lambda: then(
    lambda: allocate(PUNCH_HOLE | KEEP_SIZE, 10, 20), lambda: contents("file")))
case("fallocate", "PUNCH_HOLE past the end does not grow", CONTENTS[:990] + bytes(10), lambda: then(
    lambda: allocate(PUNCH_HOLE | KEEP_SIZE, 990, 5000), lambda: contents("file")))
case("fallocate", "PUNCH_HOLE over blocks gives memory back", (0, MIB), lambda: punched())
case("fallocate", "PUNCH_HOLE without KEEP_SIZE is EOPNOTSUPP", "EOPNOTSUPP", lambda: allocate(PUNCH_HOLE, 0, 10))
case("fallocate", "ZERO_RANGE leaves zeros", "EOPNOTSUPP", lambda: then(
    lambda: allocate(ZERO_RANGE, 10, 20), lambda: contents("file")), section="Allocation",
     ours=CONTENTS[:10] + bytes(20) + CONTENTS[30:])
case("fallocate", "ZERO_RANGE grows the file", "EOPNOTSUPP", lambda: then(
    lambda: allocate(ZERO_RANGE, 990, 20), lambda: contents("file")), section="Allocation",
     ours=CONTENTS[:990] + bytes(20))
case("fallocate", "ZERO_RANGE with KEEP_SIZE does not", "EOPNOTSUPP", lambda: then(
    lambda: allocate(ZERO_RANGE | KEEP_SIZE, 990, 20), lambda: contents("file")), section="Allocation",
     ours=CONTENTS[:990] + bytes(10))
case("fallocate", "COLLAPSE_RANGE is EOPNOTSUPP", "EOPNOTSUPP", lambda: allocate(COLLAPSE_RANGE, 0, 4096))
case("fallocate", "INSERT_RANGE is EOPNOTSUPP", "EOPNOTSUPP", lambda: allocate(INSERT_RANGE, 0, 4096))
case("fallocate", "unknown modes are EOPNOTSUPP", "EOPNOTSUPP", lambda: allocate(1 << 20, 0, 4096))
case("fallocate", "PUNCH_HOLE and ZERO_RANGE together are EOPNOTSUPP", "EOPNOTSUPP",
     lambda: allocate(PUNCH_HOLE | ZERO_RANGE | KEEP_SIZE, 0, 4096))
case("fallocate", "length 0 is EINVAL", "EINVAL", lambda: allocate(0, 0, 0))
case("fallocate", "a negative length is EINVAL", "EINVAL", lambda: allocate(0, 0, -1))
case("fallocate", "a negative offset is EINVAL", "EINVAL", lambda: allocate(0, -1, 10))
case("fallocate", "beyond the largest offset is EFBIG", "EFBIG", lambda: allocate(0, OFFSET_MAX - 5, 10))
case("fallocate", "more than there is is ENOSPC, and nothing has changed", ("ENOSPC", LENGTH), lambda: (
    outcome(lambda: allocate(0, 0, 1 << 45)), size_of("file")))
case("fallocate", "a descriptor open for reading is EBADF", "EBADF", lambda: allocate(0, 0, 10, READ))
case("fallocate", "a directory is EBADF, since it is open for reading", "EBADF",
     lambda: allocate(0, 0, 10, READ, "dir"))
case("fallocate", "a FIFO is ESPIPE", "ESPIPE", lambda: allocate(0, 0, 10, BOTH, "fifo"))
case("fallocate", "mtime and ctime change", "mc", lambda: changed("file", lambda: allocate(0, 0, 5000)))
case("fallocate", "PUNCH_HOLE changes mtime and ctime", "mc",
     lambda: changed("file", lambda: allocate(PUNCH_HOLE | KEEP_SIZE, 0, 50)))
case("fallocate", "beyond RLIMIT_FSIZE is EFBIG", "EFBIG", lambda: limited(lambda: allocate(0, 0, 5000)))
case("fallocate", "by another drops suid and sgid", "0o777", lambda: then(
    lambda: allocate(0, 0, 5000), lambda: mode_of("file")), uid=STRANGER, prepare=lambda: os.chmod("file", 0o6777))


def punched():
    with opened("new", BOTH | CREATE) as fd:
        os.write(fd, os.urandom(MIB))
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 0, MIB)
        status = os.fstat(fd)
        return status.st_blocks, status.st_size


# copy_file_range
def copy(source, target, count, offset_source=0, offset_target=0, flags=0, modes=(READ, BOTH)):
    with opened(source, modes[0]) as from_fd, opened(target, modes[1]) as to_fd:
        return copy_file_range(from_fd, to_fd, count, offset_source, offset_target, flags)


case("copy_file_range", "copies", (1000, CONTENTS), lambda: (copy("file", "other", 1000), contents("other")))
case("copy_file_range", "stops at the end", 10, lambda: copy("file", "other", 500, 990))
case("copy_file_range", "copies nothing from behind the end", 0, lambda: copy("file", "other", 500, 1000))
case("copy_file_range", "into the middle", b"ot01r", lambda: then(lambda: copy("file", "other", 2, 0, 2),
                                                                lambda: contents("other")))
case("copy_file_range", "far behind the end leaves zeros between", b"other" + bytes(95) + b"01", lambda: then(
    lambda: copy("file", "other", 2, 0, 100), lambda: contents("other")))
case("copy_file_range", "within a file", CONTENTS[:500] + CONTENTS[:500], lambda: then(
    lambda: copy("file", "file", 500, 0, 500, modes=(BOTH, BOTH)), lambda: contents("file")))
case("copy_file_range", "ranges that overlap are EINVAL", "EINVAL", lambda: copy("file", "file", 500, 0, 200))
case("copy_file_range", "flags are EINVAL", "EINVAL", lambda: copy("file", "other", 1, flags=1))
case("copy_file_range", "a source open for writing is EBADF", "EBADF",
     lambda: copy("file", "other", 1, modes=(WRITE, BOTH)))
case("copy_file_range", "a target open for reading is EBADF", "EBADF",
     lambda: copy("file", "other", 1, modes=(READ, READ)))
case("copy_file_range", "a target open for appending is EBADF", "EBADF",
     lambda: copy("file", "other", 1, modes=(READ, WRITE | os.O_APPEND)))
case("copy_file_range", "a directory is EISDIR", "EISDIR", lambda: copy("dir", "other", 1))
case("copy_file_range", "a FIFO is EINVAL", "EINVAL", lambda: copy("fifo", "other", 1))
case("copy_file_range", "a negative offset is EOVERFLOW", "EOVERFLOW", lambda: copy("file", "other", 1, -1))
case("copy_file_range", "a range that ends behind the largest offset is cut", 5,
     lambda: copy("file", "other", 10, 0, OFFSET_MAX - 5))
case("copy_file_range", "beyond RLIMIT_FSIZE is EFBIG", "EFBIG", lambda: limited(
    lambda: copy("file", "other", 10, 0, 5000)))
case("copy_file_range", "the target's mtime and ctime change", "mc",
     lambda: changed("other", lambda: copy("file", "other", 9)))
case("copy_file_range", "no time of the source changes", "", lambda: changed("file", lambda: copy("file", "other", 9)))
case("copy_file_range", "a hole comes out as zeros", bytes(100_000), lambda: then(
    lambda: os.truncate("file", 0), lambda: os.truncate("file", 100_000), lambda: copy("file", "other", 100_000),
    lambda: contents("other")))
case("copy_file_range", "by another drops suid and sgid", "0o777", lambda: then(
    lambda: copy("other", "file", 5), lambda: mode_of("file")), uid=STRANGER, prepare=lambda: os.chmod("file", 0o6777))

# seek


def sparse(act):
    """A file with data at 1 MiB and at 3 MiB, a hole between and behind."""
    with opened("new", BOTH | CREATE) as fd:
        os.pwrite(fd, b"x" * 65536, MIB)
        os.pwrite(fd, b"x" * 65536, 3 * MIB)
        os.ftruncate(fd, 5 * MIB)
        return act(fd)


case("seek", "SEEK_DATA finds data from the hole before", MIB, lambda: sparse(lambda fd: os.lseek(fd, 0, os.SEEK_DATA)))
case("seek", "SEEK_DATA stays in data", MIB + 5, lambda: sparse(lambda fd: os.lseek(fd, MIB + 5, os.SEEK_DATA)))
case("seek", "SEEK_HOLE stays in a hole", 5, lambda: sparse(lambda fd: os.lseek(fd, 5, os.SEEK_HOLE)))
case("seek", "SEEK_HOLE finds the hole behind data", MIB + 65536,
     lambda: sparse(lambda fd: os.lseek(fd, MIB, os.SEEK_HOLE)))
case("seek", "SEEK_DATA finds the next data", 3 * MIB,
     lambda: sparse(lambda fd: os.lseek(fd, MIB + 65536, os.SEEK_DATA)))
case("seek", "SEEK_DATA in the last hole is ENXIO", "ENXIO",
     lambda: sparse(lambda fd: os.lseek(fd, 4 * MIB, os.SEEK_DATA)))
case("seek", "SEEK_HOLE of data to the end is the end", 1000,
     lambda: with_fd("file", READ, lambda fd: os.lseek(fd, 0, os.SEEK_HOLE)))
case("seek", "SEEK_DATA at the end is ENXIO", "ENXIO",
     lambda: with_fd("file", READ, lambda fd: os.lseek(fd, 1000, os.SEEK_DATA)))
case("seek", "SEEK_HOLE behind the end is ENXIO", "ENXIO",
     lambda: with_fd("file", READ, lambda fd: os.lseek(fd, 2000, os.SEEK_HOLE)))
case("seek", "a negative offset of SEEK_DATA is ENXIO", "ENXIO",
     lambda: with_fd("file", READ, lambda fd: os.lseek(fd, -1, os.SEEK_DATA)))
case("seek", "SEEK_SET to a negative offset is EINVAL", "EINVAL",
     lambda: with_fd("file", READ, lambda fd: os.lseek(fd, -1, 0)))
case("seek", "SEEK_END behind the end", 1010, lambda: with_fd("file", READ, lambda fd: os.lseek(fd, 10, os.SEEK_END)))
case("seek", "an unknown whence is EINVAL", "EINVAL", lambda: with_fd("file", READ, lambda fd: os.lseek(fd, 0, 99)))
case("seek", "a FIFO is ESPIPE", "ESPIPE", lambda: with_fd("fifo", READ, lambda fd: os.lseek(fd, 0, 0)))


# mmap
def mapped(act, path="file", flags=mmap.MAP_SHARED, mode=BOTH, length=4096):
    with opened(path, mode) as fd, mmap.mmap(fd, length, flags) as mapping:
        return act(mapping, fd)


def poke(mapping, fd):
    mapping[0:3] = b"abc"
    mapping.flush()
    return os.pread(fd, 5, 0)


case("mmap", "what is written to a shared mapping is read from the file", b"abc34", lambda: mapped(poke, length=1000))
case("mmap", "what is written to a private mapping is not", b"01234",
     lambda: mapped(poke, flags=mmap.MAP_PRIVATE, length=1000))
case("mmap", "what is written to the file is seen in the mapping", b"abc", lambda: mapped(
    lambda mapping, fd: (os.pwrite(fd, b"abc", 0), mapping[0:3])[1], length=1000))
case("mmap", "behind a new end within the page are zeros", bytes(3996), lambda: mapped(
    lambda mapping, fd: (os.ftruncate(fd, 100), mapping[100:4096])[1], "big", length=8192),
     prepare=lambda: then(lambda: try_open("big", CREATE)(), lambda: pwrite("big", b"x" * 8192, 0)))
case("mmap", "a mapping outlives its file's name and descriptor", b"0123", lambda: outlived())
case("mmap", "a page behind the end is SIGBUS", "ended by signal 7", lambda: mapped(
    lambda mapping, fd: (os.ftruncate(fd, 100), mapping[8000])[1], "big", length=8192),
     prepare=lambda: then(lambda: try_open("big", CREATE)(), lambda: os.truncate("big", 8192)))
case("mmap", "of a descriptor open for writing only is EACCES", "EACCES", lambda: with_fd(
    "file", WRITE, lambda fd: mmap.mmap(fd, 1000)))
case("mmap", "of a directory is ENODEV", "ENODEV", lambda: with_fd("dir", READ, lambda fd: mmap.mmap(
    fd, 1000, mmap.MAP_PRIVATE, mmap.PROT_READ)))


def outlived():
    fd = os.open("file", BOTH)
    mapping = mmap.mmap(fd, 1000)
    os.close(fd)
    os.unlink("file")
    return mapping[0:4]


case("set_id", "a program with suid keeps it when it is only read", "0o4755", lambda: then(
    lambda: contents("file"), lambda: mode_of("file")), prepare=lambda: os.chmod("file", 0o4755), uid=OWNER)
