#!/usr/bin/env python3
"""What depends on the kernel: the same calls on the mount and on a tmpfs, and the same answers.

usage: attributes_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import ctypes
import fcntl
import os
import signal
import struct
import subprocess
import time

import mount_case
import mounting
from mount_case import MountTest, write_file

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}.get(os.uname().machine)
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
GETFLAGS, SETFLAGS, FSGETXATTR = 0x80086601, 0x40086602, 0x801C581F
IMMUTABLE, APPEND, NODUMP = 0x10, 0x20, 0x40
OWNER, GROUP, STRANGER = 1000, 100, 2000
ROUNDS = 8000


def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "")


def rename2(old, new, flags):
    checked(LIBC.syscall(RENAMEAT2, AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags))


def answer(call):
    """What the call returns, or its errno."""
    try:
        return call()
    except OSError as error:
        return f"errno {error.errno}"


def list_until_killed(path):
    """Lists a directory with the attributes of all that is in it (READDIRPLUS), again and again."""
    try:
        while True:
            name = os.path.join(path, "for the kernel to ask again")
            write_file(name, b"")
            for entry in os.scandir(path):
                entry.stat()
            os.unlink(name)
    finally:
        os._exit(1)


def as_user(uid, gid, groups, call):
    """answer(call) in a process of that user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(writer, str(answer(call)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


def with_file(path, flags, call):
    fd = os.open(path, flags)
    try:
        return call(fd)
    finally:
        os.close(fd)


def get_flags(path):
    def ask(fd):
        flags, attributes = bytearray(8), bytearray(28)
        fcntl.ioctl(fd, GETFLAGS, flags)
        fcntl.ioctl(fd, FSGETXATTR, attributes)
        return struct.unpack("I", flags[:4])[0], struct.unpack("I", attributes[:4])[0]
    return with_file(path, os.O_RDONLY, ask)


def set_flags(path, flags):
    with_file(path, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, SETFLAGS, struct.pack("Q", flags)))


class AttributesTest(MountTest):
    def setUp(self):
        super().setUp()
        os.chmod(self.place.directory, 0o755)
        self.reference = self.place.make_mountpoint("reference")
        subprocess.run(["mount", "-t", "tmpfs", "reference", self.reference], check=True, timeout=mounting.PATIENCE)
        self.mount("size=256M,allow_other")

    def tearDown(self):
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()
        self.assertTrue(mounting.wait_until(lambda: subprocess.run(
            ["umount", self.reference], check=False, capture_output=True, timeout=mounting.PATIENCE).returncode == 0))

    def assert_as_tmpfs(self, calls):
        """calls(directory) yields pairs of a name and an answer."""
        expected = list(calls(self.reference))
        self.assertGreater(len(expected), 0)
        self.assertEqual(list(calls(self.mountpoint)), expected)

    def test_files_without_names(self):
        if "with it there is no O_TMPFILE" in self.libfuse():
            self.skipTest("this libfuse has no TMPFILE")

        def calls(directory):
            before = os.stat(directory)
            for flags in (os.O_RDWR, os.O_RDWR | os.O_EXCL):
                fd = os.open(directory, os.O_TMPFILE | flags, 0o640)
                yield "status", (os.fstat(fd).st_mode, os.fstat(fd).st_nlink, os.write(fd, b"text"))
                yield "directory", (os.stat(directory).st_mtime_ns == before.st_mtime_ns, os.listdir(directory))
                path = os.path.join(directory, "name")
                source = f"/proc/self/fd/{fd}".encode()
                yield "link", answer(lambda path=path, source=source: checked(LIBC.linkat(
                    AT_FDCWD, source, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW)))
                yield "linked", (os.listdir(directory), os.fstat(fd).st_nlink, os.pread(fd, 9, 0))
                if os.path.exists(path):
                    os.unlink(path)
                os.close(fd)
            yield "read only", answer(lambda: os.open(directory, os.O_TMPFILE | os.O_RDONLY))
        self.assert_as_tmpfs(calls)

    def libfuse(self):
        """What CMake said of it; the programs do not tell."""
        with open(os.path.join(self.binaries, "..", "CMakeCache.txt"), encoding="utf-8") as cache:
            return next((line for line in cache if line.startswith("ZTMPFS_LIBFUSE_MISSING:")), "")

    def test_whiteouts(self):
        if RENAMEAT2 is None:
            self.skipTest("the number of renameat2 is not known for this machine")

        def tree(directory):
            return sorted((name, os.lstat(path).st_mode, os.lstat(path).st_nlink, os.lstat(path).st_rdev)
                          for parent, _, _ in os.walk(directory)
                          for name, path in ((name, os.path.join(parent, name)) for name in os.listdir(parent)))

        def calls(directory):
            for name in ("from", "to", "from/a", "from/b", "to/b", "to/c"):
                os.mkdir(os.path.join(directory, name))
            for name in ("from/f", "from/g", "to/g"):
                write_file(os.path.join(directory, name), b"x")
            for old, new, flags in (
                    ("from/a", "to/a", WHITEOUT), ("from/b", "to/b", WHITEOUT), ("from/f", "from/n", WHITEOUT),
                    ("from/g", "to/g", WHITEOUT), ("from/g", "to/g", WHITEOUT | NOREPLACE),
                    ("from/g", "to/g", WHITEOUT | EXCHANGE), ("from/g", "to/h", WHITEOUT | NOREPLACE),
                    ("to/c", "to/g", WHITEOUT), ("to", "to/c/d", WHITEOUT), ("none", "x", WHITEOUT)):
                yield (old, new, flags), answer(lambda old=old, new=new, flags=flags: rename2(
                    os.path.join(directory, old), os.path.join(directory, new), flags))
                yield "tree", tree(directory)
        self.assert_as_tmpfs(calls)

    def test_suid_and_sgid_go_with_changes(self):
        def calls(directory):
            path = os.path.join(directory, "file")
            changes = {
                "write": lambda: with_file(path, os.O_WRONLY, lambda fd: (os.write(fd, b"y"), oct(os.fstat(fd).st_mode))),
                "truncate": lambda: os.truncate(path, 3),
                "ftruncate": lambda: with_file(path, os.O_WRONLY, lambda fd: os.ftruncate(fd, 9)),
                "open": lambda: with_file(path, os.O_WRONLY | os.O_TRUNC, lambda fd: None),
                "chown": lambda: os.chown(path, OWNER, GROUP),
                "chmod": lambda: os.chmod(path, 0o6777),
            }
            users = {"root": (0, 0, []), "owner": (OWNER, GROUP, []), "owner elsewhere": (OWNER, 200, []),
                     "by another group": (OWNER, 200, [GROUP]), "stranger": (STRANGER, 300, []),
                     "member": (STRANGER, GROUP, [])}
            os.chmod(directory, 0o1777)
            write_file(path, b"hello")
            for mode in (0o6777, 0o2666, 0o6755):
                for name, change in changes.items():
                    for who, user in users.items():
                        os.chown(path, OWNER, GROUP)
                        os.chmod(path, mode)
                        yield (oct(mode), name, who), (as_user(*user, change), oct(os.stat(path).st_mode))
        self.assert_as_tmpfs(calls)

    def test_which_times_a_change_of_size_changes(self):
        def calls(directory):
            path = os.path.join(directory, "file")
            for content, cut in ((5, None), (0, 9)):
                for size in (5, 3, 9, 12):
                    for name, change in (("truncate", os.truncate), ("ftruncate", lambda path, size: with_file(
                            path, os.O_WRONLY, lambda fd: os.ftruncate(fd, size)))):
                        write_file(path, b"x" * content)
                        if cut is not None:
                            os.truncate(path, cut)
                        os.utime(path, ns=(10**18, 10**18))
                        before = os.stat(path)
                        time.sleep(0.005)  # the clock of tmpfs has ticks
                        change(path, size)
                        after = os.stat(path)
                        yield (content, cut, size, name), (after.st_mtime_ns != before.st_mtime_ns,
                                                           after.st_ctime_ns != before.st_ctime_ns)
        self.assert_as_tmpfs(calls)

    def test_time_of_birth(self):
        if "birth" in self.libfuse():
            self.skipTest("this libfuse has no STATX")
        path = os.path.join(self.mountpoint, "file")
        write_file(path, b"x")
        created = os.stat(path).st_mtime
        os.utime(path, ns=(1, 1))
        born = subprocess.run(["stat", "-c", "%W", path], capture_output=True, text=True, check=True).stdout
        self.assertEqual(int(born), int(created))

    def test_chattr_flags(self):
        def calls(directory):
            path, other, folder = (os.path.join(directory, name) for name in ("file", "other", "folder"))
            changes = {
                "append": lambda: with_file(path, os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"y")),
                "write": lambda: with_file(path, os.O_WRONLY, lambda fd: os.pwrite(fd, b"y", 1)),
                "truncate": lambda: os.truncate(path, 3), "chmod": lambda: os.chmod(path, 0o600),
                "touch": lambda: os.utime(path), "set times": lambda: os.utime(path, ns=(1, 1)),
                "link": lambda: os.link(path, path + ".link"), "rename": lambda: os.rename(path, path + ".new"),
                "rename over": lambda: os.rename(other, path), "unlink": lambda: os.unlink(path),
                "create": lambda: os.mkdir(os.path.join(folder, "made")),
                "rename into": lambda: os.rename(other, os.path.join(folder, "child")),
                "unlink child": lambda: os.unlink(os.path.join(folder, "child")),
                "rename folder": lambda: os.rename(folder, folder + ".new"),
            }
            os.mkdir(folder)
            for flags in (IMMUTABLE, APPEND, NODUMP):
                for name, change in changes.items():
                    for each in (path, other, os.path.join(folder, "child")):
                        write_file(each, b"text")
                    set_flags(path, flags)
                    set_flags(folder, flags)
                    yield (flags, name), (answer(change), get_flags(path) if os.path.exists(path) else None)
                    for each in (path, path + ".new", path + ".link", other, folder, folder + ".new",
                                 os.path.join(folder, "child")):
                        answer(lambda each=each: set_flags(each, 0))
                    for each in (path + ".new", path + ".link"):
                        answer(lambda each=each: os.unlink(each))
                    answer(lambda: os.rmdir(os.path.join(folder, "made")))
                    answer(lambda: os.rename(folder + ".new", folder))
            for flags in (0x1, 0x400, NODUMP | 0x80):
                yield flags, (answer(lambda flags=flags: set_flags(path, flags)), get_flags(path))
            yield "unknown", answer(lambda: with_file(path, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, 0x1234, 0)))
        self.assert_as_tmpfs(calls)

    def test_directory_that_is_listed_while_it_changes(self):
        above = os.path.join(self.mountpoint, "above")
        path = os.path.join(above, "changing")
        os.makedirs(path)
        for number in range(40):
            os.mkdir(os.path.join(above, str(number)))
        lister = os.fork()
        if lister == 0:
            list_until_killed(above)
        wrong = []
        try:
            for number in range(ROUNDS):
                change, count = (os.mkdir, 3) if number % 2 == 0 else (os.rmdir, 2)
                change(os.path.join(path, "below"))
                for pause in (0, 0.0002):  # the listing's reply may be taken later than ours
                    time.sleep(pause)
                    # At most once may the kernel answer with what it is about to overwrite (docs/posix.md).
                    if os.stat(path).st_nlink != count and (links := os.stat(path).st_nlink) != count:
                        wrong.append((number, links))
        finally:
            os.kill(lister, signal.SIGKILL)
            os.waitpid(lister, 0)
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    mount_case.main(__doc__)
