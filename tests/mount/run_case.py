"""What the tests of `ztmpfs run` share: starting runs, their processes, and what is left of them."""

import os
import subprocess

import mounting
from mount_case import MountTest


def processes_with(variable, value):
    """Pids of the processes in whose environment the variable has the value."""
    wanted = os.fsencode(f"{variable}={value}")
    pids = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    pids.append(int(entry))
        except OSError:
            continue
    return pids


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class RunTest(MountTest):
    options = "size=64M"

    def command(self, *arguments):
        return [os.path.join(self.binaries, "ztmpfs"), "run", "-o", self.options, *arguments]

    def run_it(self, *arguments, **keywords):
        """A run to its end."""
        return subprocess.run(self.command(*arguments), env=self.place.environment, capture_output=True, text=True,
                              timeout=mounting.PATIENCE, check=False, **keywords)

    def shell(self, script, *options, **keywords):
        return self.run_it("-q", *options, "sh", "-c", script, **keywords)

    def start_it(self, *arguments, **keywords):
        process = subprocess.Popen(self.command("-q", *arguments), env=self.place.environment, text=True, **keywords)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_shell(self, script, **keywords):
        """A run of the script, which says `ready` when it is to go on; the process, and the lines until then."""
        process = self.start_it("sh", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        lines = []
        while (line := process.stdout.readline()) not in ("ready\n", ""):
            lines.append(line.rstrip())
        return process, lines

    def end_of(self, process):
        """Exit code, and what it has said after `ready`."""
        out, errors = process.stdout.read(), process.stderr.read()
        return process.wait(mounting.PATIENCE), out, errors

    def leftovers(self):
        files = os.listdir(self.place.runtime) if os.path.isdir(self.place.runtime) else []
        pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
        return (mounting.mounts_below(self.place.directory), [(pid, name_of(pid)) for pid in pids], files)

    def assert_nothing_left(self):
        self.assertTrue(mounting.wait_until(lambda: self.leftovers() == ([], [], [])), self.leftovers())

    def process_named(self, name):
        """The pid of the run's process of that name."""
        pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
        return next(pid for pid in pids if name_of(pid) == name)

    def server(self):
        return self.place.control("list")[0]["server_pid"]

    def holder(self):
        return self.place.control("list")[0]["holder_pid"]
