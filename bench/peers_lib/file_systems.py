"""The file systems under comparison. Each is mounted afresh per round, says what memory it uses, and leaves nothing."""

import json
import os
import signal
import sys
import time

from . import commands


class Unavailable(Exception):
    """This machine cannot run the file system; the text says why."""


class FileSystem:
    """One mounted peer. mount() and unmount() pair up; unmount() may be called at any point after mount() began."""

    name = ""

    def __init__(self, directory, size):
        self.mountpoint = os.path.join(directory, self.name)
        self.size = size
        os.makedirs(self.mountpoint, exist_ok=True)

    def mount(self):
        raise NotImplementedError

    def unmount(self):
        if os.path.ismount(self.mountpoint):
            unmount_path(self.mountpoint)

    def memory_used(self):
        """Bytes of memory that hold the contents now (page cache not counted)."""
        raise NotImplementedError

    def settle(self):
        """Waits until the contents have the form they keep: written back, or compressed."""
        os.sync()

    def requests(self):
        """Requests answered by a daemon since the mount, by kind; empty where there is no daemon."""
        return {}

    def describe(self):
        return self.name


def is_running(pid):
    """Whether the process is there and no zombie that nobody has waited for yet."""
    try:
        return commands.read_text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def unmount_path(mountpoint):
    """umount, then a lazy umount when something keeps it busy: a benchmark leaves no mount."""
    for _ in range(20):
        try:
            commands.run(["umount", mountpoint], timeout=60)
            return
        except commands.CommandFailed as error:
            failure = error
            if "busy" not in str(error):
                break
            time.sleep(0.1)
    commands.run(["umount", "-l", mountpoint], timeout=60)
    raise failure


class Tmpfs(FileSystem):
    """The kernel's tmpfs: the speed to compare with."""

    name = "tmpfs"

    def __init__(self, directory, size):
        super().__init__(directory, size)
        if os.geteuid() != 0:
            raise Unavailable("mounting tmpfs needs root")

    def mount(self):
        commands.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "ztmpfs-peers", self.mountpoint])

    def memory_used(self):
        status = os.statvfs(self.mountpoint)
        return (status.f_blocks - status.f_bfree) * status.f_frsize


class ZramDevice:
    """A zram device of our own (lz4), noted in `directory` so that a later run finds it when this one is killed."""

    control = "/sys/class/zram-control"

    def __init__(self, directory):
        self.number = None
        # See stale_runs.py.
        self.note = os.path.join(directory, "zram_number")
        if os.geteuid() != 0:
            raise Unavailable("zram needs root")
        if not os.path.isdir(self.control):
            raise Unavailable("no zram in this kernel")

    @property
    def path(self):
        return f"/dev/zram{self.number}"

    def attribute(self, name):
        return f"/sys/block/zram{self.number}/{name}"

    def add(self, size):
        self.number = int(commands.read_text(f"{self.control}/hot_add"))
        commands.write_text(self.note, str(self.number))
        deadline = time.monotonic() + 5
        while not os.path.exists(self.path) and time.monotonic() < deadline:
            time.sleep(0.01)
        commands.write_text(self.attribute("comp_algorithm"), "lz4")
        commands.write_text(self.attribute("disksize"), str(size))

    def remove(self):
        """May be called at any point."""
        if self.number is not None:
            remove_zram(self.number)
            self.number = None
            os.remove(self.note)

    def compact(self):
        commands.write_text(self.attribute("compact"), "1")

    def statistics(self):
        """mm_stat, by the names of Documentation/admin-guide/blockdev/zram.rst."""
        names = ("orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max", "same_pages",
                 "pages_compacted", "huge_pages")
        values = commands.read_text(self.attribute("mm_stat")).split()
        return dict(zip(names, map(int, values)))


class ZramExt4(FileSystem):
    """ext4 on a zram device of our own (lz4), with the defaults of mkfs.ext4, mounted with discard."""

    name = "zram"

    def __init__(self, directory, size):
        super().__init__(directory, size)
        self.device = ZramDevice(directory)

    def mount(self):
        self.device.add(self.size)
        commands.run(["mkfs.ext4", "-q", self.device.path])
        commands.run(["mount", "-o", "discard", self.device.path, self.mountpoint])

    def unmount(self):
        super().unmount()
        self.device.remove()

    def memory_used(self):
        return self.device.statistics()["mem_used_total"]

    def describe(self):
        return "zram(lz4)+ext4 -o discard"


def remove_zram(number):
    """Resets and removes a zram device; it may stay busy for a moment after the umount."""
    for attempt in range(50):
        try:
            commands.write_text(f"/sys/block/zram{number}/reset", "1")
            commands.write_text("/sys/class/zram-control/hot_remove", str(number))
            return
        except OSError:
            if not os.path.exists(f"/sys/block/zram{number}"):
                return
            if attempt == 49:
                raise
            time.sleep(0.1)


class Ztmpfs(FileSystem):
    """Ours, with default options but for the size (and what --options adds)."""

    name = "ztmpfs"

    def __init__(self, directory, size, binaries, options=""):
        super().__init__(directory, size)
        self.daemon = os.path.join(binaries, "ztmpfs")
        self.control = os.path.join(binaries, "ztmpfsctl")
        self.options = f"size={size}" + (f",{options}" if options else "")
        self.instance = f"peers{os.getpid()}"
        self.started = []
        for program in (self.daemon, self.control):
            if not os.access(program, os.X_OK):
                raise Unavailable(f"{program} is not built")
        if os.geteuid() != 0:
            raise Unavailable("the comparison is of a mount of root's")
        if not os.path.exists("/dev/fuse"):
            raise Unavailable("no /dev/fuse")

    def mount(self):
        commands.run([self.daemon, "-o", self.options, self.instance, self.mountpoint], timeout=30)
        self.started = self.processes()

    def unmount(self):
        # Not ismount(): that asks the file system, and this one may be the reason for giving up.
        if f" {self.mountpoint} " not in commands.read_text("/proc/self/mounts"):
            return
        try:
            unmount_path(self.mountpoint)
            self._await_end(20)
        except commands.CommandFailed:
            self.kill()
            raise

    def _await_end(self, seconds):
        deadline = time.monotonic() + seconds
        while any(is_running(pid) for pid in self.started):
            if time.monotonic() > deadline:
                raise commands.CommandFailed(f"ztmpfs: {self.started} still run {seconds} s after umount")
            time.sleep(0.01)

    def kill(self):
        """Ends holder and server by force; whoever waits for an answer of theirs gets an error instead."""
        for pid in reversed(self.started):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)

    def processes(self):
        """The server's and the holder's process ids."""
        for entry in json.loads(commands.run([self.control, "--json", "list"], timeout=30)):
            if entry["name"] == self.instance:
                return [entry["server_pid"], entry["holder_pid"]]
        return []

    def stats(self):
        return json.loads(commands.run([self.control, "--json", "stats", self.instance], timeout=30))

    def memory_used(self):
        return self.stats()["mem_used_total"]

    def settle(self):
        os.sync()
        deadline = time.monotonic() + 60
        before = None
        # Sealed, and what that freed is back with the system: nothing changes for a second any more.
        while True:
            stats = self.stats()
            if stats["hot_bytes"] == 0 and stats["mem_used_total"] == before:
                return
            if time.monotonic() > deadline:
                print(f"ztmpfs: not settled after 60 s, {stats['hot_bytes']} bytes hot", file=sys.stderr)
                return
            before = stats["mem_used_total"]
            time.sleep(1)

    def requests(self):
        # Nobody waits for a FORGET: it is housekeeping of the kernel's inode cache, at times of the kernel's choosing.
        return {kind: count for kind, count in self.stats()["requests"].items() if "FORGET" not in kind}

    def describe(self):
        version = commands.run([self.daemon, "--version"], accept=(0, 1, 2)).strip().splitlines()
        return f"{version[0] if version else 'ztmpfs'} -o {self.options}"
