"""Building redis and git at the same path in two file systems, and comparing every byte of what comes out."""

import contextlib
import filecmp
import os
import stat
import time

import mounted
from mounted import commands

# What git finds on a plain build machine; the rest of it needs libraries that change nothing here.
GIT_OPTIONS = ["NO_OPENSSL=1", "NO_CURL=1", "NO_EXPAT=1", "NO_GETTEXT=1", "NO_TCLTK=1", "NO_PYTHON=1"]
# These hold the time of the build (`date`, process ids), on any file system.
RECORDS_OF_THE_MOMENT = {"git/templates/boilerplates.made", "redis/deps/jemalloc/config.log"}


def build(work, sources, smoke):
    """Unpacks and builds below `work`; what changes from run to run (date, host) is pinned."""
    environment = dict(os.environ, SOURCE_DATE_EPOCH="1700000000", LC_ALL="C")
    for name, options in (("redis", []), ("git", GIT_OPTIONS)):
        commands.run(["tar", "-x", "-f", os.path.join(sources, f"{name}.tar"), "-C", work, "--no-same-owner"])
        if not smoke:
            commands.run(["make", "-j2", *options], directory=os.path.join(work, name), environment=environment,
                         timeout=1800)


@contextlib.contextmanager
def visible_at(path, place):
    """Makes `place` (a folder in one of the file systems) visible at `path`."""
    commands.run(["mount", "--bind", place, path])
    try:
        yield
    finally:
        mounted.file_systems.unmount_path(path)


def build_at_same_path(path, place, sources, smoke):
    """The build, with `place` visible at `path`; the seconds it took."""
    os.makedirs(place)
    with visible_at(path, place):
        start = time.monotonic()
        build(path, sources, smoke)
        return time.monotonic() - start


def entries_of(root):
    """Every path below root, relative, with its lstat."""
    found = {}
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = os.lstat(path)
    return found


def differences(left, right, leave_out=()):
    """What is not the same in two trees: names, types, modes, lengths, link targets, link counts, bytes."""
    ours, theirs = entries_of(left), entries_of(right)
    found = [f"only in one tree: {path}" for path in sorted(set(ours) ^ set(theirs))]
    for path in sorted(set(ours) & set(theirs)):
        a, b = ours[path], theirs[path]
        one, other = os.path.join(left, path), os.path.join(right, path)
        if a.st_mode != b.st_mode:
            found.append(f"mode {a.st_mode:o} and {b.st_mode:o}: {path}")
        elif stat.S_ISLNK(a.st_mode):
            if os.readlink(one) != os.readlink(other):
                found.append(f"link target: {path}")
        elif stat.S_ISREG(a.st_mode):
            if (a.st_size != b.st_size and path not in leave_out) or a.st_nlink != b.st_nlink:
                found.append(f"length or links {a.st_size} {a.st_nlink} and {b.st_size} {b.st_nlink}: {path}")
            elif path not in leave_out and not filecmp.cmp(one, other, shallow=False):
                found.append(f"bytes: {path}")
    return found, len(ours)


def state_equal(claims, title, left, right, leave_out=()):
    commands.drop_caches(3)
    filecmp.clear_cache()
    found, count = differences(left, right, leave_out)
    claims.state(title, f"{len(found)} of {count} entries differ", "0", not found)
    for line in found[:20]:
        claims.note(line)
