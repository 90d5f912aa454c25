"""How long requests to a mount take while it is compacted, and while it is not."""

import contextlib
import json
import mmap
import os
import random
import subprocess
import time

from . import commands

MIB = 1 << 20
# Of small files: their objects share pages, so that all of the memory is fragmented.
FILE_BYTES = (100, 3500)
FILES_PER_FOLDER = 1000
OPEN_FILES = 500
WARM_UP = 500
KINDS = ("read", "create", "unlink")


class FragmentedMount:
    """A mount that holds small incompressible files, so that payload is what was written."""

    def __init__(self, file_system, fill):
        self.file_system = file_system
        self.fill = fill
        self.random = random.Random(1)
        self.noise = self.random.randbytes(MIB)
        self.sizes = {}
        self.created = 0

    def fragment(self):
        """Fills the mount up, then removes a random half of the files."""
        stored = sum(self.sizes.values())
        while stored < self.fill:
            stored += self._add()
        # What is removed before it is compressed leaves no hole.
        self.file_system.settle()
        for path in self.random.sample(sorted(self.sizes), len(self.sizes) // 2):
            os.unlink(path)
            del self.sizes[path]
        self.file_system.settle()

    def contents(self, size):
        start = self.random.randrange(MIB - size)
        return self.noise[start:start + size]

    def _add(self):
        folder = os.path.join(self.file_system.mountpoint, f"d{self.created // FILES_PER_FOLDER}")
        if self.created % FILES_PER_FOLDER == 0:
            os.mkdir(folder)
        size = self.random.randint(*FILE_BYTES)
        path = os.path.join(folder, f"f{self.created}")
        write_file(path, self.contents(size))
        self.sizes[path] = size
        self.created += 1
        return size


def write_file(path, data):
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(f"{path}: short write")
    finally:
        os.close(descriptor)


class Client:
    """Reads, creates and removes small files in turn and takes the time of each; any failure raises."""

    def __init__(self, mount, stack):
        self.mount = mount
        self.buffer = mmap.mmap(-1, 4096)
        self.paths = mount.random.sample(sorted(mount.sizes), min(OPEN_FILES, len(mount.sizes)))
        # O_DIRECT: past the kernel's page cache, each read is a request.
        self.descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECT) for path in self.paths]
        for descriptor in self.descriptors:
            stack.callback(os.close, descriptor)

    def round(self, samples):
        index = self.mount.random.randrange(len(self.paths))
        data = self.mount.contents(self.mount.random.randint(*FILE_BYTES))
        scratch = os.path.join(self.mount.file_system.mountpoint, "scratch")
        times = [time.perf_counter_ns()]
        count = os.preadv(self.descriptors[index], [self.buffer], 0)
        times.append(time.perf_counter_ns())
        write_file(scratch, data)
        times.append(time.perf_counter_ns())
        os.unlink(scratch)
        times.append(time.perf_counter_ns())
        if count != self.mount.sizes[self.paths[index]]:
            raise OSError(f"{self.paths[index]}: {count} bytes read")
        for kind, start, end in zip(KINDS, times, times[1:]):
            samples[kind].append(end - start)


def run_beside(command, client, samples, rounds):
    """Goes on until the command has ended, and at least `rounds` rounds; returns what the command printed."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        done = 0
        while child.poll() is None or done < rounds:
            client.round(samples)
            done += 1
        output, errors = child.communicate()
    if child.returncode != 0:
        raise commands.CommandFailed(f"{' '.join(command)}: {errors.decode(errors='replace').strip()}")
    return json.loads(output)


def measure(file_system, fill, samples_min):
    """(samples without, samples while compacting, reports of the compactions). The conditions alternate."""
    mount = FragmentedMount(file_system, fill)
    without, during = ({kind: [] for kind in KINDS} for _ in range(2))
    reports = []
    control = [file_system.control, "--json"]
    while len(during["read"]) < samples_min:
        mount.fragment()
        with contextlib.ExitStack() as stack:
            client = Client(mount, stack)
            for _ in range(WARM_UP):
                client.round({kind: [] for kind in KINDS})
            # In both conditions a process starts beside the client; as many samples as the last compaction gave.
            wanted = max(len(during["read"]) - len(without["read"]), WARM_UP)
            run_beside([*control, "stats", file_system.instance], client, without, wanted)
            reports.append(run_beside([*control, "compact", file_system.instance], client, during, rounds=1))
    return without, during, reports


def percentile(samples, share):
    ordered = sorted(samples)
    return ordered[int(share * (len(ordered) - 1))]
