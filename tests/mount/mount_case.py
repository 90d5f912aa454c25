"""The common ground of the tests on a real mount: a test case with a workplace, and files read and written plainly."""

import os
import subprocess
import sys
import unittest

import mounting

MIB = 1 << 20


def write_file(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def read_with_syscalls(path, uncached=False):
    """open, read to the end, close, and nothing else (Python's open() asks whether the file is a terminal: IOCTL)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if uncached:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        chunks = []
        while chunk := os.read(fd, MIB):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)


def read_uncached(path):
    """The contents as the daemon has them, past the page cache."""
    return read_with_syscalls(path, uncached=True)


class MountTest(unittest.TestCase):
    binaries = ""
    is_sanitized = False

    def setUp(self):
        self.place = mounting.Workplace(self.binaries)
        self.addCleanup(self.place.close)
        self.addCleanup(lambda: self.assertEqual(self.place.sanitizer_reports(), ""))
        self.mountpoint = self.place.make_mountpoint("mnt")

    def mount(self, options="size=256M", name="disk"):
        result = self.place.run("ztmpfs", "-o", options, name, self.mountpoint)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def unmount(self):
        """Right after the start ztmpfs itself uses the mount for a moment (daemon/first_open.h)."""
        def try_it():
            command = ["umount", self.mountpoint]
            result = subprocess.run(command, capture_output=True, check=False, timeout=mounting.PATIENCE)
            return result.returncode == 0
        self.assertTrue(mounting.wait_until(try_it), "cannot unmount")

    def run_apart(self, script, exit_code):
        """Standard output and error of a shell script in a mount namespace of its own; $1: the programs, $2: the mount point."""
        result = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.binaries, self.mountpoint],
                                env=self.place.environment, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        self.assertEqual(result.returncode, exit_code, result.stdout + result.stderr)
        self.assert_clean()
        return result.stdout, result.stderr

    def assert_clean(self):
        self.assertTrue(mounting.wait_until(self.place.is_clean), self.place.leftovers())

    def finish(self, process):
        """Exit code and log of a ztmpfs in the foreground."""
        try:
            _, log = process.communicate(timeout=mounting.PATIENCE)
        except subprocess.TimeoutExpired:
            self.fail("ztmpfs does not end")
        return process.returncode, log


class CountingTest(MountTest):
    """Counts requests, which the daemon does too, in a directory whose parents are warm."""

    options = "size=256M"

    def setUp(self):
        super().setUp()
        self.mount(self.options)
        self.directory = os.path.join(self.mountpoint, "d/e")
        os.makedirs(self.directory)
        # What the kernel asks once per mount: whether open, flush, getxattr and the like are served at all.
        write_file(self.path("warm"), b"x")
        read_file(self.path("warm"))
        os.listdir(self.directory)
        os.unlink(self.path("warm"))

    def tearDown(self):
        self.unmount()

    def path(self, name):
        return os.path.join(self.directory, name)

    def requests(self, operation):
        before = self.place.control("stats")["requests"]
        operation()
        after = self.place.control("stats")["requests"]
        counts = {name: count - before.get(name, 0) for name, count in after.items()}
        return {name: count for name, count in counts.items() if count and "FORGET" not in name}

    def assert_requests(self, operation, **expected):
        self.assertEqual(self.requests(operation), expected)

    def create(self, name):
        fd = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, bytes(4096))
        os.close(fd)


def main(document):
    """Runs the test cases of the program; `document` tells how it is used."""
    if len(sys.argv) < 2:
        sys.exit(document)
    mounting.exit_if_impossible()
    MountTest.binaries = os.path.realpath(sys.argv.pop(1))
    program = read_file(os.path.join(MountTest.binaries, "ztmpfs"))
    MountTest.is_sanitized = b"__asan_init" in program or b"__tsan_init" in program
    unittest.main(verbosity=2)
