#!/usr/bin/env python3
"""Requests per operation with the options that cost some: the table of docs/requests.md.

usage: requests_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import os

import mount_case
from mount_case import CountingTest, read_with_syscalls


class Counts(CountingTest):
    """What each operation costs on a plain mount of root's; the classes below say what comes on top."""

    # Operations on a directory's entries: with permissions checked, the kernel asks for the directory's attributes.
    changes_of_directories = {}
    # First writes to a file: with xattrs, the kernel asks whether there are capabilities to be dropped.
    writes = {}

    def replace(self):
        self.create("new")
        os.rename(self.path("new"), self.path("file"))

    def write_parts(self):
        fd = os.open(self.path("file"), os.O_WRONLY)
        for _ in range(16):
            os.write(fd, bytes(256))
        os.close(fd)

    def read(self):
        os.stat(self.path("file"))
        read_with_syscalls(self.path("file"))

    def cost(self, directory_changes=0, writes=0, **plain):
        counts = dict(plain)
        for extra, times in ((self.changes_of_directories, directory_changes), (self.writes, writes)):
            for name, count in extra.items():
                counts[name] = counts.get(name, 0) + count * times
        return {name: count for name, count in counts.items() if count}

    def check(self, operation, **cost):
        self.assertEqual(self.requests(operation), self.cost(**cost))

    def test_operations_cost_what_the_table_says(self):
        self.check(lambda: self.create("file"), directory_changes=1, writes=1, LOOKUP=1, CREATE=1, WRITE=1)
        os.stat(self.path("file"))
        self.check(self.read)
        self.check(self.write_parts, writes=1, WRITE=16)
        self.check(lambda: os.chmod(self.path("file"), 0o600), SETATTR=1)
        self.check(lambda: os.link(self.path("file"), self.path("link")), LOOKUP=1, LINK=1)
        self.check(lambda: os.unlink(self.path("link")), directory_changes=1, UNLINK=1)
        self.check(self.replace, directory_changes=2, writes=1, LOOKUP=2, CREATE=1, WRITE=1, RENAME=1)
        self.check(lambda: os.mkdir(self.path("dir")), directory_changes=1, LOOKUP=1, MKDIR=1)
        self.check(lambda: os.rmdir(self.path("dir")), directory_changes=1, RMDIR=1)


class CountsWithOthers(Counts):
    options = "size=256M,allow_other"
    changes_of_directories = {"GETATTR": 1}


class CountsWithXattrs(Counts):
    options = "size=256M,xattr"
    writes = {"GETXATTR": 1}


class CountsWithAcls(Counts):
    options = "size=256M,acl"
    changes_of_directories = {"GETATTR": 1}
    writes = {"GETXATTR": 1}


class CountsOfXattrs(CountingTest):
    options = "size=256M,xattr"

    def test_each_call_is_one_request(self):
        self.create("file")
        path = self.path("file")
        self.assert_requests(lambda: os.setxattr(path, "user.a", b"v"), SETXATTR=1)
        os.stat(path)
        self.assert_requests(lambda: os.listxattr(path), LISTXATTR=1)
        self.assert_requests(lambda: os.removexattr(path, "user.a"), REMOVEXATTR=1)


if __name__ == "__main__":
    mount_case.main(__doc__)
