"""Memory pressure for real: processes in a memory cgroup of their own that is too small for the file they read.

Run as a program it is one of those processes:    thrashing.py DESCRIPTOR BYTES GROUP
"""

import contextlib
import ctypes
import glob
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time

SYSTEM_PRESSURE = "/proc/pressure/memory"
GROUP_PREFIX = "ztmpfs-pressure."
PAGE = 4096
MIB = 1 << 20
# Two pages of five are missing at any time: some 20 to 40 % of the time is lost to waiting for them.
FILE_BYTES = 80 * MIB
LIMIT_BYTES = 48 * MIB
PROCESSES = 4
PR_SET_PDEATHSIG = 1


class Unavailable(Exception):
    """This machine cannot make or tell of pressure; the text says why."""


def group_root():
    """(folder in which memory cgroups can be made, name of the limit's file)."""
    unified = None
    with open("/proc/self/mounts", encoding="utf-8") as table:
        for line in table:
            _, folder, kind, options = line.split()[:4]
            if kind == "cgroup" and "memory" in options.split(","):
                return folder, "memory.limit_in_bytes"
            if kind == "cgroup2":
                unified = unified or folder
    if unified is None:
        raise Unavailable("no cgroups here")
    with open(os.path.join(unified, "cgroup.controllers"), encoding="ascii") as controllers:
        if "memory" not in controllers.read().split():
            raise Unavailable("no memory controller in any cgroup hierarchy")
    with open(os.path.join(unified, "cgroup.subtree_control"), "w", encoding="ascii") as control:
        control.write("+memory")
    return unified, "memory.max"


class MemoryGroup:
    """A cgroup with a limit, and what a run that was killed has left of its own."""

    def __init__(self, limit):
        try:
            root, limit_file = group_root()
            for path in glob.glob(os.path.join(root, GROUP_PREFIX + "*")):
                if not os.path.exists(f"/proc/{path.rsplit('.', 1)[1]}"):
                    os.rmdir(path)
            self.path = os.path.join(root, f"{GROUP_PREFIX}{os.getpid()}")
            os.mkdir(self.path)
            with open(os.path.join(self.path, limit_file), "w", encoding="ascii") as file:
                file.write(str(limit))
        except OSError as error:
            raise Unavailable(f"cannot make a memory cgroup: {error}") from error

    def remove(self):
        """Its processes must have been waited for; the kernel may take a moment longer."""
        deadline = time.monotonic() + 5
        while True:
            try:
                return os.rmdir(self.path)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Thrashing:
    """The processes. They begin paused, and die with the one that has made them."""

    def __init__(self):
        self.children = []
        self.file = None
        self.paused = time.monotonic()
        self.group = MemoryGroup(LIMIT_BYTES)
        try:
            # On a disk: the kernel cannot drop the pages of a tmpfs. It has no name, so nothing has to be removed.
            self.file = tempfile.TemporaryFile(dir="/var/tmp")
            self._write_file()
            for _ in range(PROCESSES):
                self._start_one()
        except BaseException:
            self.close()
            raise

    def _write_file(self):
        for _ in range(FILE_BYTES // MIB):
            self.file.write(os.urandom(MIB))
        self.file.flush()
        os.fsync(self.file.fileno())
        # What is cached already counts for whoever has read it first.
        os.posix_fadvise(self.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _start_one(self):
        descriptor = self.file.fileno()
        command = [sys.executable, os.path.realpath(__file__), str(descriptor), str(FILE_BYTES), self.group.path]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(descriptor,))
        self.children.append(child)
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            raise Unavailable("a process cannot enter its cgroup")

    def go_on(self):
        for child in self.children:
            child.send_signal(signal.SIGCONT)

    def pause(self):
        for child in self.children:
            child.send_signal(signal.SIGSTOP)
        self.paused = time.monotonic()

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        if self.file is not None:
            self.file.close()
        self.group.remove()


class Alarm:
    """Triggers of our own on the system's pressure, with the texts of somebody else's: what wakes them wakes us."""

    def __init__(self, texts):
        self.descriptors = []
        self.poll = select.poll()
        self.window = max(int(text.split()[2]) for text in texts) / 1e6
        try:
            for text in texts:
                descriptor = os.open(SYSTEM_PRESSURE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
                self.descriptors.append(descriptor)
                os.write(descriptor, text.encode() + b"\0")  # the kernel overwrites the last byte (psi_write)
                self.poll.register(descriptor, select.POLLPRI)
        except OSError as error:
            self.close()
            raise Unavailable(f"cannot watch {SYSTEM_PRESSURE}: {error}") from error

    def rings(self, seconds=0.0):
        return bool(self.poll.poll(seconds * 1000))

    def close(self):
        for descriptor in self.descriptors:
            os.close(descriptor)


def stalled():
    """Seconds since boot for which some task was waiting for memory."""
    with open(SYSTEM_PRESSURE, encoding="ascii") as file:
        return int(file.readline().rsplit("total=", 1)[1]) / 1e6


def thrash(descriptor, size, group):
    """Reads random pages for ever."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Only now, so that the interpreter's own memory stays outside.
    with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as processes:
        processes.write(str(os.getpid()))
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    os.kill(os.getpid(), signal.SIGSTOP)
    while True:
        os.pread(descriptor, PAGE, PAGE * random.randrange(size // PAGE))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        thrash(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
