#!/usr/bin/env python3
"""What an ordinary user may do in a directory, as JSON: {claim: what happened}. To be compared between file systems.

usage: permission_table.py prepare|guest|owner DIRECTORY

prepare: by root, what guests meet. guest: by a user in what root has prepared. owner: by whoever the directory belongs to.
"""

import errno
import json
import os
import stat
import sys

USER = 65534
MEMBER = 5000  # a supplementary group of the user's
STRANGER = 4321


def outcome(operation):
    """What is told of an operation: its errno, or what it returns."""
    try:
        return operation()
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)


def shape(path):
    status = os.lstat(path)
    return f"{status.st_mode:o} {status.st_uid} {status.st_gid} {status.st_nlink}"


def make(path, mode, uid=-1, gid=-1, data=b"data"):
    with open(path, "wb") as file:
        file.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def make_directory(path, mode, uid=-1, gid=-1):
    os.mkdir(path)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def write(path, data=b"x", flags=0):
    fd = os.open(path, os.O_WRONLY | flags)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def read(path, flags=0):
    fd = os.open(path, os.O_RDONLY | flags)
    try:
        return os.read(fd, 100).decode()
    finally:
        os.close(fd)


def create(path, mode=0o666):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    return shape(path)


def then_shape(path, operation):
    """The outcome and what became of the file."""
    return [outcome(operation), outcome(lambda: shape(path))]


def execute(path):
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(100 + error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def prepare(root):
    os.chmod(root, 0o777)
    for name, mode in (("secret", 0o600), ("public", 0o644), ("open", 0o666), ("none", 0), ("group", 0o060)):
        make(f"{root}/{name}", mode, 0, MEMBER if name == "group" else 0)
    for name, mode in (("closed", 0o700), ("passage", 0o711), ("reading", 0o555), ("listing", 0o744), ("sticky", 0o1777),
                       ("elsewhere", 0o777)):
        make_directory(f"{root}/{name}", mode)
        make(f"{root}/{name}/file", 0o644)
    make(f"{root}/sticky/theirs", 0o666, STRANGER, STRANGER)
    make(f"{root}/sticky/mine", 0o666, USER, USER)
    make_directory(f"{root}/sticky/theirs.d", 0o777, STRANGER, STRANGER)
    make_directory(f"{root}/own.sticky", 0o1777, USER, USER)
    make(f"{root}/own.sticky/theirs", 0o600, STRANGER, STRANGER)
    make_directory(f"{root}/sgid", 0o2777, 0, STRANGER)
    make_directory(f"{root}/sgid.member", 0o2777, 0, MEMBER)
    for name in ("written", "truncated", "mapped", "appended"):
        make(f"{root}/suid.{name}", 0o6777, 0, 0)
    make(f"{root}/suid.mine", 0o6755, USER, USER)
    make(f"{root}/suid.group", 0o2745, USER, USER)  # not executable by the group: no sgid to take away
    make_directory(f"{root}/fixed", 0o755, USER, USER)
    make_directory(f"{root}/foreign", 0o755, 0, 0)
    make(f"{root}/script", 0o644, USER, USER, b"#!/bin/sh\nexit 7\n")


def guest_reads_and_writes(root):
    table = {}
    for name in ("secret", "public", "open", "none", "group", "closed/file", "passage/file", "listing/file"):
        table[f"read {name}"] = outcome(lambda n=name: read(f"{root}/{n}"))
        table[f"write {name}"] = outcome(lambda n=name: write(f"{root}/{n}"))
        table[f"truncate {name}"] = outcome(lambda n=name: os.truncate(f"{root}/{n}", 2))
        table[f"stat {name}"] = outcome(lambda n=name: shape(f"{root}/{n}"))
        table[f"access {name}"] = [outcome(lambda n=name, m=mode: os.access(f"{root}/{n}", m)) for mode in range(8)]
        table[f"chmod {name}"] = outcome(lambda n=name: os.chmod(f"{root}/{n}", 0o777))
        table[f"utime now {name}"] = outcome(lambda n=name: os.utime(f"{root}/{n}"))
        table[f"utime then {name}"] = outcome(lambda n=name: os.utime(f"{root}/{n}", (1, 2)))
        table[f"noatime {name}"] = outcome(lambda n=name: read(f"{root}/{n}", os.O_NOATIME))
    for name in ("closed", "passage", "reading", "listing"):
        table[f"list {name}"] = outcome(lambda n=name: sorted(os.listdir(f"{root}/{n}")))
        table[f"create in {name}"] = outcome(lambda n=name: create(f"{root}/{n}/new"))
        table[f"unlink in {name}"] = outcome(lambda n=name: os.unlink(f"{root}/{n}/file"))
    table["execute without x"] = execute(f"{root}/script")
    os.chmod(f"{root}/script", 0o755)
    table["execute"] = execute(f"{root}/script")
    return table


def guest_in_shared_directories(root):
    table = {
        "sticky: unlink theirs": outcome(lambda: os.unlink(f"{root}/sticky/theirs")),
        "sticky: rename theirs": outcome(lambda: os.rename(f"{root}/sticky/theirs", f"{root}/sticky/new")),
        "sticky: rename over theirs": outcome(lambda: os.rename(f"{root}/sticky/mine", f"{root}/sticky/theirs")),
        "sticky: rmdir theirs": outcome(lambda: os.rmdir(f"{root}/sticky/theirs.d")),
        "sticky: move theirs away": outcome(lambda: os.rename(f"{root}/sticky/theirs", f"{root}/elsewhere/x")),
        "sticky: move mine away": outcome(lambda: os.rename(f"{root}/sticky/mine", f"{root}/elsewhere/x")),
        "sticky: write theirs": outcome(lambda: write(f"{root}/sticky/theirs")),
        "sticky: create": outcome(lambda: create(f"{root}/sticky/new")),
        "sticky: unlink what I made": outcome(lambda: os.unlink(f"{root}/sticky/new")),
        "sticky of mine: unlink theirs": outcome(lambda: os.unlink(f"{root}/own.sticky/theirs")),
        "move my directory": outcome(lambda: os.rename(f"{root}/fixed", f"{root}/elsewhere/fixed")),
        "move a directory that I may not write": outcome(
            lambda: os.rename(f"{root}/foreign", f"{root}/elsewhere/foreign")),
        "rename a directory that I may not write in place": outcome(
            lambda: os.rename(f"{root}/foreign", f"{root}/foreign.new")),
        "link to what I may not write": outcome(lambda: os.link(f"{root}/public", f"{root}/elsewhere/link")),
    }
    for name in ("sgid", "sgid.member"):
        for mode in (0o666, 0o2777, 0o2755, 0o6711):
            table[f"{name}: create {mode:o}"] = outcome(lambda n=name, m=mode: create(f"{root}/{n}/file{m:o}", m))
        make_here = {"mkdir": lambda path: os.mkdir(path, 0o755), "mkfifo": os.mkfifo,
                     "symlink": lambda path: os.symlink("a", path)}
        for kind, operation in make_here.items():
            path = f"{root}/{name}/{kind}"
            table[f"{name}: {kind}"] = then_shape(path, lambda o=operation, p=path: o(p))
        path = f"{root}/{name}/file666"
        table[f"{name}: chmod g+s"] = then_shape(path, lambda p=path: os.chmod(p, 0o2770))
    return table


def guest_with_privileged_bits(root):
    def map_and_write(path):
        import mmap  # pylint: disable=import-outside-toplevel
        fd = os.open(path, os.O_RDWR)
        with mmap.mmap(fd, 4) as memory:
            memory[0:1] = b"y"
        os.close(fd)

    return {
        "write clears suid": then_shape(f"{root}/suid.written", lambda: write(f"{root}/suid.written")),
        "append clears suid": then_shape(f"{root}/suid.appended",
                                         lambda: write(f"{root}/suid.appended", flags=os.O_APPEND)),
        "truncate clears suid": then_shape(f"{root}/suid.truncated", lambda: os.truncate(f"{root}/suid.truncated", 1)),
        "shared mapping": then_shape(f"{root}/suid.mapped", lambda: map_and_write(f"{root}/suid.mapped")),
        "open with O_TRUNC clears suid": then_shape(f"{root}/suid.mapped",
                                                    lambda: write(f"{root}/suid.mapped", flags=os.O_TRUNC)),
        "chgrp clears suid": then_shape(f"{root}/suid.mine", lambda: os.chown(f"{root}/suid.mine", -1, MEMBER)),
        "chgrp without group x": then_shape(f"{root}/suid.group", lambda: os.chown(f"{root}/suid.group", -1, MEMBER)),
        "mknod of a device": outcome(lambda: os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))),
        "chown of theirs": outcome(lambda: os.chown(f"{root}/open", USER, -1)),
        "chown to nobody else": outcome(lambda: os.chown(f"{root}/open", -1, -1)),
    }


def guest(root):
    os.umask(0o022)
    return guest_reads_and_writes(root) | guest_in_shared_directories(root) | guest_with_privileged_bits(root)


def owner(root):
    os.umask(0o027)
    make(f"{root}/file", 0o644)
    make(f"{root}/read only", 0o444)
    make(f"{root}/suid", 0o6755)
    os.mkdir(f"{root}/dir")
    make(f"{root}/dir/file", 0o600)
    return {
        "new file": outcome(lambda: create(f"{root}/new")),
        "new directory": then_shape(f"{root}/newdir", lambda: os.mkdir(f"{root}/newdir")),
        "write what is read-only": outcome(lambda: write(f"{root}/read only")),
        "write clears suid": then_shape(f"{root}/suid", lambda: write(f"{root}/suid")),
        "chmod 0": then_shape(f"{root}/file", lambda: os.chmod(f"{root}/file", 0)),
        "read it then": outcome(lambda: read(f"{root}/file")),
        "chown to another user": outcome(lambda: os.chown(f"{root}/file", STRANGER, -1)),
        "chgrp to another group": outcome(lambda: os.chown(f"{root}/file", -1, STRANGER)),
        "chown to oneself": then_shape(f"{root}/file", lambda: os.chown(f"{root}/file", os.getuid(), os.getgid())),
        "close a directory": then_shape(f"{root}/dir", lambda: os.chmod(f"{root}/dir", 0o400)),
        "list it": outcome(lambda: os.listdir(f"{root}/dir")),
        "look up in it": outcome(lambda: shape(f"{root}/dir/file")),
        "open it again": then_shape(f"{root}/dir/file", lambda: os.chmod(f"{root}/dir", 0o700)),
        "mknod of a device": outcome(lambda: os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))),
        "mkfifo": then_shape(f"{root}/fifo", lambda: os.mkfifo(f"{root}/fifo", 0o640)),
        "sgid directory": then_shape(f"{root}/dir", lambda: os.chmod(f"{root}/dir", 0o2750)),
        "file in it": outcome(lambda: create(f"{root}/dir/new", 0o2755)),
    }


if __name__ == "__main__":
    result = {"prepare": prepare, "guest": guest, "owner": owner}[sys.argv[1]](sys.argv[2])
    print(json.dumps(result))
