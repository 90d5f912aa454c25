"""What is measured: a workload prepares what it needs (not timed), runs (timed), says how many operations that was."""

import collections
import dataclasses
import os
import shutil
import time

from . import commands

Sample = collections.namedtuple("Sample", "seconds operations memory requests")


@dataclasses.dataclass
class Sizes:
    """How much of each thing; quick() is for the test suite."""

    stream_mib: int = 512
    random_operations: int = 20000
    small_files: int = 20000
    stat_rounds: int = 5

    @staticmethod
    def quick():
        return Sizes(stream_mib=32, random_operations=1000, small_files=1000, stat_rounds=2)


@dataclasses.dataclass
class Material:
    """Inputs outside the measured file systems: tar files, the bytes to stream, the compiled loops."""

    tree_tar: str
    build_tar: str
    corpus: str
    operations_program: str


class Context:
    """One file system, mounted, with the inputs; keeps count of what stands in it."""

    def __init__(self, file_system, material, sizes):
        self.file_system = file_system
        self.material = material
        self.sizes = sizes
        self.root = file_system.mountpoint
        self.entries = 0

    def path(self, name):
        return os.path.join(self.root, name)

    def unpack(self, tar, name):
        """Unpacks a tar file into the new folder `name`; the tar file is in the page cache when the time counts."""
        os.mkdir(self.path(name))
        start = time.monotonic()
        commands.run(["tar", "-x", "-f", tar, "-C", self.path(name), "--strip-components=1", "--no-same-owner"])
        return time.monotonic() - start

    def ensure_tree(self, name="tree"):
        if not os.path.exists(self.path(name)):
            read_once(self.material.tree_tar)
            self.unpack(self.material.tree_tar, name)
        self.entries = self.entries or sum(len(d) + len(f) for _, d, f in os.walk(self.path(name)))

    def loop(self, operation, name, count):
        """One of the compiled loops of peers_ops.c: (seconds, operations)."""
        output = commands.run([self.material.operations_program, operation, self.path(name), str(count),
                               self.material.corpus])
        operations, nanoseconds = output.split()
        return int(nanoseconds) / 1e9, int(operations)

    def ensure_stream(self):
        if not os.path.exists(self.path("stream")):
            self.loop("seq_write", "stream", self.sizes.stream_mib)

    def ensure_small_files(self, prefix="f"):
        """The folder of small files under the name that the next loop expects; creates it when it is not there."""
        folder = self.path("small")
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(os.path.join(folder, f"{prefix}{0:07d}")):
            self.loop("create", "small", self.sizes.small_files)
            if prefix == "r":
                self.loop("rename", "small", self.sizes.small_files)


def read_once(path):
    """Brings a file into the page cache."""
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass


def timed(arguments, **options):
    start = time.monotonic()
    commands.run(arguments, **options)
    return time.monotonic() - start


def unpack(context):
    shutil.rmtree(context.path("tree"), ignore_errors=True)
    read_once(context.material.tree_tar)
    yield
    seconds = context.unpack(context.material.tree_tar, "tree")
    yield seconds, None
    context.ensure_tree()


def over_tree(arguments, cold, accept=(0,)):
    """A reader of the whole tree: after the caches were dropped, or after one round that is not timed."""
    def workload(context):
        context.ensure_tree()
        command = [part.replace("TREE", context.path("tree")) for part in arguments]
        context.file_system.settle()
        if cold:
            commands.drop_caches(3)
            commands.run([command[0], "--version"])
        else:
            commands.run(command, accept=accept)
        yield
        yield timed(command, accept=accept), context.entries
    return workload


def copy(context):
    context.ensure_tree()
    shutil.rmtree(context.path("copy"), ignore_errors=True)
    yield
    yield timed(["cp", "-a", context.path("tree"), context.path("copy")]), context.entries


def delete(context):
    context.ensure_tree()
    context.ensure_tree("copy")
    yield
    yield timed(["rm", "-rf", context.path("copy")]), context.entries


def build(context):
    read_once(context.material.build_tar)
    context.unpack(context.material.build_tar, "build")
    yield
    yield timed(["make", "-j2"], directory=context.path("build")), 1
    shutil.rmtree(context.path("build"))


def sequential_write(context):
    if os.path.exists(context.path("stream")):
        os.remove(context.path("stream"))
    yield
    yield context.loop("seq_write", "stream", context.sizes.stream_mib)


def sequential_read(context):
    context.ensure_stream()
    context.file_system.settle()
    context.loop("seq_verify", "stream", context.sizes.stream_mib)
    commands.drop_caches(1)
    yield
    yield context.loop("seq_read", "stream", context.sizes.stream_mib)


def random_read(context):
    context.ensure_stream()
    context.file_system.settle()
    commands.drop_caches(1)
    yield
    yield context.loop("random_read", "stream", context.sizes.random_operations)


def random_write(context):
    context.ensure_stream()
    context.file_system.settle()
    yield
    yield context.loop("random_write", "stream", context.sizes.random_operations)


def create(context):
    shutil.rmtree(context.path("small"), ignore_errors=True)
    os.mkdir(context.path("small"))
    yield
    yield context.loop("create", "small", context.sizes.small_files)


def again(operation):
    """A loop over the small files when everything is warm: one round not timed, then several."""
    def workload(context):
        context.ensure_small_files()
        context.loop("stat", "small", context.sizes.small_files)
        context.loop(operation, "small", context.sizes.small_files)
        yield
        results = [context.loop(operation, "small", context.sizes.small_files)
                   for _ in range(context.sizes.stat_rounds)]
        yield sum(seconds for seconds, _ in results), sum(count for _, count in results)
    return workload


def once(operation, prefix="f"):
    """A loop that changes each small file once. The folder and the names are warm: a program just made them."""
    def workload(context):
        context.ensure_small_files(prefix)
        yield
        yield context.loop(operation, "small", context.sizes.small_files)
    return workload


def make_folders(context):
    os.makedirs(context.path("small"), exist_ok=True)
    if os.path.exists(context.path("small/d0000000")):
        context.loop("rmdir", "small", context.sizes.small_files)
    yield
    yield context.loop("mkdir", "small", context.sizes.small_files)


def remove_folders(context):
    os.makedirs(context.path("small"), exist_ok=True)
    if not os.path.exists(context.path("small/d0000000")):
        context.loop("mkdir", "small", context.sizes.small_files)
    yield
    yield context.loop("rmdir", "small", context.sizes.small_files)


FIND = ["find", "TREE", "-printf", "%s %m %T@\n"]
# A word that is not there: grep must read every file to its end.
GREP = ["grep", "-r", "-F", "no file holds these words", "TREE"]

# In the order of a round: later ones use what earlier ones left, and make it themselves when run alone.
WORKLOADS = {
    "unpack": unpack,
    "walk-warm": over_tree(FIND, cold=False),
    "walk-cold": over_tree(FIND, cold=True),
    "grep-warm": over_tree(GREP, cold=False, accept=(0, 1)),
    "grep-cold": over_tree(GREP, cold=True, accept=(0, 1)),
    "copy": copy,
    "delete": delete,
    "build": build,
    "seq-write": sequential_write,
    "seq-read-cold": sequential_read,
    "rand-read-cold": random_read,
    "rand-write": random_write,
    "create": create,
    "stat-warm": again("stat"),
    "open-read-warm": again("open_read"),
    "rewrite": once("rewrite"),
    "replace": once("replace"),
    "rename": once("rename"),
    "unlink": once("unlink", prefix="r"),
    "mkdir": make_folders,
    "rmdir": remove_folders,
}

# The memory after these says something about their contents (the others change little or nothing).
MEMORY_AFTER = ("unpack", "copy", "delete", "build", "seq-write", "rand-write", "create", "unlink")


def measure(context, name):
    """Runs one workload on one file system and returns its Sample."""
    file_system = context.file_system
    steps = WORKLOADS[name](context)
    next(steps)
    before = file_system.requests()
    seconds, operations = next(steps)
    after = file_system.requests()
    memory = None
    if name in MEMORY_AFTER:
        file_system.settle()
        memory = file_system.memory_used()
    for _ in steps:
        pass
    requests = {kind: count - before.get(kind, 0) for kind, count in after.items() if count != before.get(kind, 0)}
    return Sample(seconds, operations or context.entries, memory, requests)
