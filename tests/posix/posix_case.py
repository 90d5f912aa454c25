"""One row of the tables of POSIX cases: what is done in a directory of known contents, and what must come of it.

Each case runs in a process of its own whose working directory holds FIXTURE, on ours and on tmpfs. Its result is what
`act` returns, or the name of the errno that it raises.
"""

import ctypes
import errno
import os
import pickle
import signal
import stat
import time
import traceback

PATIENCE = 20
CLOCK_TICK = 0.011
CASES = []
LIBC = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE, INSERT_RANGE = 1, 2, 8, 16, 32
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
NAME_MAX, PATH_MAX = 255, 4096
OFFSET_MAX = (1 << 63) - 1
# The owner of the fixture when root makes it, and somebody else.
OWNER, STRANGER = 1001, 1002
CONTENTS = b"0123456789" * 100


class Case:
    """See case()."""

    def __init__(self, group, claim, expected, act, **options):
        self.group, self.claim, self.expected, self.act = group, claim, expected, act
        self.prepare = options.pop("prepare", None)
        self.uid = options.pop("uid", None)
        self.gid = options.pop("gid", self.uid)
        self.groups = options.pop("groups", ())
        self.needs_root = options.pop("needs_root", False)
        self.ours = options.pop("ours", expected)
        self.section = options.pop("section", None)
        assert not options, options

    def __str__(self):
        return f"{self.group}: {self.claim}"


def case(group, claim, expected, act, **options):
    """Adds a row. Options: `prepare`: done before, by the owner of the mount; `uid`, `gid`, `groups`: who acts (only on
    mounts of root's that others may enter); `needs_root`: not for a user's own mount; `ours`: what ztmpfs gives where
    that differs, and `section`, the heading in docs/posix.md that tells why."""
    CASES.append(Case(group, claim, expected, act, **options))


def make_fixture():
    """In the working directory: a file, directories empty and full, links good, bad and endless, a FIFO."""
    os.umask(0o022)
    with open("file", "wb") as file:
        file.write(CONTENTS)
    with open("other", "wb") as file:
        file.write(b"other")
    os.makedirs("dir")
    os.makedirs("full/sub")
    with open("full/entry", "wb") as file:
        file.write(b"x")
    os.symlink("file", "link")
    os.symlink("dir", "dirlink")
    os.symlink("missing", "dangling")
    os.symlink("loop", "loop")
    os.mkfifo("fifo")
    if os.geteuid() == 0:
        for name in ("file", "other", "dir", "full", "full/sub", "full/entry", "fifo", "."):
            os.chown(name, OWNER, OWNER)


def checked(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def renameat2(old, new, flags):
    return checked(LIBC.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), ctypes.c_uint(flags)))


def linkat(directory, old, new, flags):
    return checked(LIBC.linkat(directory, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def fallocate(fd, mode, offset, length):
    return checked(LIBC.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def copy_file_range(source, target, count, offset_source=None, offset_target=None, flags=0):
    def place(offset):
        return None if offset is None else ctypes.byref(ctypes.c_int64(offset))
    LIBC.copy_file_range.restype = ctypes.c_ssize_t
    return checked(LIBC.copy_file_range(source, place(offset_source), target, place(offset_target),
                                        ctypes.c_size_t(count), ctypes.c_uint(flags)))


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64)]


def utimensat(path, atime, mtime, flags=0):
    """Times are pairs of seconds and nanoseconds."""
    times = (Timespec * 2)(Timespec(*atime), Timespec(*mtime))
    return checked(LIBC.utimensat(AT_FDCWD, os.fsencode(path), times, flags))


def times_of(path):
    status = os.lstat(path)
    return status.st_atime_ns, status.st_mtime_ns


def changed(path, act):
    """Which of the three times of `path` an operation changes: of "amc"."""
    time.sleep(CLOCK_TICK)  # tmpfs tells times of directories in ticks
    before = os.lstat(path)
    act()
    after = os.lstat(path)
    names = ("st_atime_ns", "st_mtime_ns", "st_ctime_ns")
    return "".join(name[3] for name in names if getattr(before, name) != getattr(after, name))


def mode_of(path):
    return oct(stat.S_IMODE(os.lstat(path).st_mode))


def owner_of(path):
    status = os.lstat(path)
    return status.st_uid, status.st_gid


def contents(path):
    with open(path, "rb") as file:
        return file.read()


def opened(path, flags, mode=0o644):
    """Opens for a `with` statement: the descriptor."""
    class Opened:
        def __enter__(self):
            self.fd = os.open(path, flags | os.O_NONBLOCK, mode)
            return self.fd

        def __exit__(self, *_):
            os.close(self.fd)
    return Opened()


def then(*steps):
    """Carries all out; the result is that of the last one."""
    result = None
    for step in steps:
        result = step()
    return result


def with_fd(path, flags, act):
    with opened(path, flags) as fd:
        return act(fd)


def errno_name(number):
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode.get(number, str(number))


def outcome(act):
    """What it returns, or the name of the errno."""
    try:
        return act()
    except OSError as error:
        return errno_name(error.errno)


def run(test, directory):
    """The result of the case in `directory`, which exists and is empty."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(PATIENCE)
            os.close(reader)
            os.chdir(directory)
            make_fixture()
            if test.prepare:
                test.prepare()
            if test.uid is not None:
                os.setgroups(list(test.groups))
                os.setresgid(test.gid, test.gid, test.gid)
                os.setresuid(test.uid, test.uid, test.uid)
            result = outcome(test.act)
        except BaseException:  # the parent tells it
            result = traceback.format_exc()
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    return pickle.loads(data) if data else f"ended by signal {os.WTERMSIG(status)}"
