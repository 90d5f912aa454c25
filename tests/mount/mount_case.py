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

    def assert_clean(self):
        self.assertTrue(mounting.wait_until(self.place.is_clean), self.place.leftovers())

    def finish(self, process):
        """Exit code and log of a ztmpfs in the foreground."""
        try:
            _, log = process.communicate(timeout=mounting.PATIENCE)
        except subprocess.TimeoutExpired:
            self.fail("ztmpfs does not end")
        return process.returncode, log


def main(document):
    """Runs the test cases of the program; `document` tells how it is used."""
    if len(sys.argv) < 2:
        sys.exit(document)
    mounting.exit_if_impossible()
    MountTest.binaries = os.path.realpath(sys.argv.pop(1))
    program = read_file(os.path.join(MountTest.binaries, "ztmpfs"))
    MountTest.is_sanitized = b"__asan_init" in program or b"__tsan_init" in program
    unittest.main(verbosity=2)
