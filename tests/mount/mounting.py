"""What the tests on a real mount share: a private work directory, mounts in it, and a clean-up that outlives a kill."""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = 30
TOTAL_PATIENCE = 540


def mounts_below(directory):
    """(device, mount point) of every mount below the directory, innermost last. Asks no file system."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            fields = line.split()
            if fields[4].startswith(directory + "/"):
                found.append((fields[2], fields[4]))
    return found


def processes_of(directory):
    """Pids of ztmpfs processes whose mount point (their last argument) lies below the directory."""
    pids = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                arguments = file.read().rstrip(b"\0").split(b"\0")
        except OSError:
            continue
        below = any(argument.startswith(os.fsencode(directory) + b"/") for argument in arguments[1:])
        if below and b"ztmpfs" in os.path.basename(arguments[0]):
            pids.append(int(entry))
    return pids


def sweep(directory):
    """Ends everything that a run has left behind: mounts, processes, files."""
    for device, mountpoint in reversed(mounts_below(directory)):
        try:
            with open(f"/sys/fs/fuse/connections/{device.split(':')[1]}/abort", "w", encoding="ascii") as abort:
                abort.write("1")
        except OSError:
            pass
        subprocess.run(["umount", "-l", mountpoint], stderr=subprocess.DEVNULL, check=False, timeout=PATIENCE)
    for pid in processes_of(directory):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if not mounts_below(directory):
        shutil.rmtree(directory, ignore_errors=True)


def start_sweeper(directory):
    """A process that sweeps when this one has ended, however it did, or has hung for too long."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(writer)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        select.select([reader], [], [], TOTAL_PATIENCE)  # readable: end of file
        sweep(directory)
        os._exit(0)
    os.close(reader)
    os.set_inheritable(writer, False)
    return writer


def duplicate(fd, least):
    """The same file under another number, at least `least`."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)


def wait_until(condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


class Workplace:
    """A directory with a runtime directory of its own, in which mounts are made."""

    def __init__(self, binaries):
        self.binaries = binaries
        self.directory = tempfile.mkdtemp(prefix="ztmpfs-mount-")
        self.sweeper = start_sweeper(self.directory)
        self.runtime = os.path.join(self.directory, "run")
        self.environment = dict(os.environ, ZTMPFS_RUNTIME_DIR=self.runtime,
                                PATH=binaries + ":" + os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"))
        self.environment.pop("NOTIFY_SOCKET", None)
        # A server in the background has no stderr: what sanitizers find goes to files.
        for sanitizer in ("ASAN", "TSAN", "UBSAN"):
            options = self.environment.get(f"{sanitizer}_OPTIONS", "")
            self.environment[f"{sanitizer}_OPTIONS"] = f"{options}:log_path={self.directory}/sanitizer"

    def make_mountpoint(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def run(self, *arguments, patience=PATIENCE, **keywords):
        """Runs a program of ours to its end."""
        command = [os.path.join(self.binaries, arguments[0]), *arguments[1:]]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=patience,
                              check=False, **keywords)

    def start(self, *arguments):
        """Starts ztmpfs in the foreground; returns when it serves."""
        command = [os.path.join(self.binaries, "ztmpfs"), "-f", *arguments]
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)
        mountpoint = arguments[-1]
        # Any question to the file system waits until it is served.
        if not wait_until(lambda: process.poll() is not None or self.is_mounted(mountpoint)):
            raise AssertionError("not mounted in time")
        if process.poll() is None:
            os.statvfs(mountpoint)
        return process

    def is_mounted(self, mountpoint):
        return any(path == mountpoint for _, path in mounts_below(self.directory))

    def device_of(self, mountpoint):
        return next(device for device, path in mounts_below(self.directory) if path == mountpoint)

    def leftovers(self):
        """What a mount that has ended must not leave: mounts, processes, files in the runtime directory."""
        files = os.listdir(self.runtime) if os.path.isdir(self.runtime) else []
        return mounts_below(self.directory), processes_of(self.directory), files

    def is_clean(self):
        return self.leftovers() == ([], [], [])

    def control(self, *arguments):
        """The answer of ztmpfsctl --json."""
        result = self.run("ztmpfsctl", "--json", *arguments)
        if result.returncode != 0:
            raise AssertionError(f"ztmpfsctl {arguments}: {result.stderr}")
        return json.loads(result.stdout)

    def sanitizer_reports(self):
        names = [name for name in os.listdir(self.directory) if name.startswith("sanitizer.")]
        reports = []
        for name in names:
            with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as file:
                reports.append(file.read())
        return "\n".join(reports)

    def close(self):
        sweep(self.directory)


def skip_reason():
    """Why mounts cannot be made here; empty if they can."""
    if os.geteuid() != 0:
        return "needs root to mount without fusermount3"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"needs /dev/fuse: {error.strerror}"
    return ""


def exit_if_impossible():
    reason = skip_reason()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
