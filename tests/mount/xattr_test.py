#!/usr/bin/env python3
"""Extended attributes and ACLs on the real kernel, as root: the same calls on ztmpfs and on tmpfs, result by result.

usage: xattr_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import errno
import os
import random
import shutil
import stat
import struct
import subprocess

import mount_case
import mounting
from mount_case import MIB, MountTest, read_uncached, write_file

USER, GROUP = 4711, 4712
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep, as setcap(8) stores it
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER, NAMED_USER, OWNING_GROUP, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 16, 32
NOBODY = 0xffffffff


def acl(*entries):
    """The value of an ACL attribute from (tag, permissions[, id])."""
    packed = (struct.pack("<HHI", *(entry if len(entry) == 3 else (*entry, NOBODY))) for entry in entries)
    return struct.pack("<I", 2) + b"".join(packed)


def outcome(function, *arguments, **keywords):
    """What a call comes to: its result, or the name of its errno."""
    try:
        return function(*arguments, **keywords)
    except OSError as error:
        return errno.errorcode[error.errno]


def as_user(function, uid=USER, gid=GROUP, groups=()):
    """What `function` returns in a process of that user; it must be something that repr() tells."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.write(writer, repr(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(pid, 0)
    return told


class Sides(MountTest):
    """A tmpfs and a ztmpfs; what is done to both has to come to the same."""

    options = "size=256M,acl,allow_other"

    def setUp(self):
        super().setUp()
        os.chmod(self.place.directory, 0o755)
        self.tmpfs = self.place.make_mountpoint("tmpfs")
        subprocess.run(["mount", "-t", "tmpfs", "none", self.tmpfs], check=True, timeout=mounting.PATIENCE)
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.tmpfs], check=True, timeout=mounting.PATIENCE))
        self.mount(self.options)
        self.sides = (self.tmpfs, self.mountpoint)

    def tearDown(self):
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()

    def both(self, function, *context):
        """Calls function(root) for both, and returns what it comes to for both."""
        theirs, ours = (function(root) for root in self.sides)
        self.assertEqual(theirs, ours, context)
        return ours


def xattrs_of(path):
    names = outcome(os.listxattr, path, follow_symlinks=False)
    if isinstance(names, str):
        return names
    return [(name, outcome(os.getxattr, path, name, follow_symlinks=False)) for name in names]


def state_of(root, names):
    state = {}
    for name in names:
        path = os.path.join(root, name)
        status = os.lstat(path)
        state[name] = (oct(status.st_mode), status.st_uid, status.st_gid, xattrs_of(path))
    return state


class Attributes(Sides):
    NAMES = ["file", "dir", "link", "fifo"]

    def setUp(self):
        super().setUp()
        for root in self.sides:
            write_file(os.path.join(root, "file"), b"")
            os.mkdir(os.path.join(root, "dir"))
            os.symlink("file", os.path.join(root, "link"))
            os.mkfifo(os.path.join(root, "fifo"))

    def call(self, function, name, *arguments):
        self.both(lambda root: outcome(function, os.path.join(root, name), *arguments, follow_symlinks=False),
                  function, name, arguments)

    def test_every_name_on_every_kind_of_file(self):
        attributes = ["user.a", "trusted.a", "security.a", "user.", "user", "trusted.", "security.", "system.a", "a",
                      "user." + "x" * 250, "user." + "x" * 251, "User.a", "security.capability", ACCESS, DEFAULT]
        for name in self.NAMES:
            for attribute in attributes:
                for flags in (0, os.XATTR_REPLACE, os.XATTR_CREATE, os.XATTR_CREATE | os.XATTR_REPLACE):
                    self.call(os.setxattr, name, attribute, b"value", flags)
                    self.call(os.getxattr, name, attribute)
                self.call(os.listxattr, name)
                self.call(os.removexattr, name, attribute)
                self.call(os.removexattr, name, attribute)
        self.both(lambda root: state_of(root, self.NAMES))

    def test_values_of_every_size(self):
        for size in (0, 1, 4000, 4096, 32768, 65535, 65536, 65537):
            self.call(os.setxattr, "file", "user.a", bytes(size))
            self.call(os.getxattr, "file", "user.a")

    def test_random_sequences(self):
        for seed in range(5):
            rng = random.Random(seed)
            for step in range(400):
                name = rng.choice(self.NAMES)
                attribute = rng.choice(["user", "trusted", "security"]) + "." + rng.choice("abcde") * rng.randrange(1, 4)
                choice = rng.randrange(10)
                if choice < 6:
                    value = rng.randbytes(rng.choice((rng.randrange(50), rng.randrange(5000))))
                    self.call(os.setxattr, name, attribute, value, rng.randrange(3))
                elif choice < 8:
                    self.call(os.removexattr, name, attribute)
                else:
                    self.call(os.getxattr, name, attribute)
                if step % 20 == 0:
                    self.both(lambda root: state_of(root, self.NAMES), seed, step)

    def test_changes_set_ctime_only(self):
        def times(root):
            path = os.path.join(root, "file")
            changes = []
            for change in (lambda: os.setxattr(path, "user.a", b"v"), lambda: os.setxattr(path, "user.a", b"v"),
                           lambda: os.getxattr(path, "user.a"), lambda: os.removexattr(path, "user.a"),
                           lambda: outcome(os.removexattr, path, "user.a"), lambda: os.removexattr(path, ACCESS)):
                before = os.stat(path)
                while os.stat(self.tmpfs).st_ctime_ns == before.st_ctime_ns:
                    os.utime(self.tmpfs)
                mounting.time.sleep(0.02)  # the kernel's clock of time stamps ticks 100 times a second
                change()
                after = os.stat(path)
                changes.append((after.st_ctime_ns > before.st_ctime_ns, after.st_mtime_ns == before.st_mtime_ns,
                                after.st_atime_ns == before.st_atime_ns))
            return changes

        self.both(times)

    def test_users_see_what_is_theirs_to_see(self):
        def as_stranger(root):
            path = os.path.join(root, "file")
            for attribute in ("user.a", "trusted.a", "security.a"):
                os.setxattr(path, attribute, b"v")
            calls = []
            for attribute in ("user.a", "trusted.a", "security.a", "user.b", "trusted.b", "security.b"):
                calls += [(os.getxattr, path, attribute), (os.setxattr, path, attribute, b"w"),
                          (os.removexattr, path, attribute), (os.getxattr, path, attribute)]
            told = as_user(lambda: [outcome(*call) for call in calls] + [outcome(os.listxattr, path)])
            os.chown(path, USER, GROUP)
            return told, as_user(lambda: [outcome(*call) for call in calls] + [outcome(os.listxattr, path)])

        self.both(as_stranger)

    def test_sticky_directories_are_their_owners(self):
        def as_stranger(root):
            path = os.path.join(root, "dir")
            os.chmod(path, 0o1777)
            return as_user(lambda: outcome(os.setxattr, path, "user.a", b"v"))

        self.both(as_stranger)

    def test_capabilities_are_void_after_changes(self):
        def lose(root):
            path = os.path.join(root, "program")
            lost = []
            def write():
                with open(path, "ab") as file:
                    file.write(b"x")
            for change in (write, lambda: os.truncate(path, 0), lambda: os.chown(path, USER, -1),
                           lambda: os.chown(path, -1, GROUP), lambda: os.chmod(path, 0o755), lambda: os.utime(path),
                           lambda: os.link(path, path + "2"), lambda: os.rename(path + "2", path + "3")):
                write_file(path, b"#!/bin/sh\n")
                os.setxattr(path, "security.capability", CAPABILITY)
                os.setxattr(path, "user.other", b"stays")
                change()
                lost.append(sorted(os.listxattr(path)))
            return lost

        self.both(lose)

    def test_attributes_of_removed_files_stay_with_their_users(self):
        def use(root):
            path = os.path.join(root, "gone")
            with open(path, "wb") as file:
                os.setxattr(path, "user.a", b"v")
                os.unlink(path)
                return outcome(os.getxattr, file.fileno(), "user.a"), outcome(os.setxattr, file.fileno(), "user.b", b"w")

        self.both(use)

    def test_lists_longer_than_64_kib_are_e2big(self):
        def fill(root):
            path = os.path.join(root, "file")
            for number in range(300):
                os.setxattr(path, f"user.{number:0>250}", b"v")
            return outcome(os.listxattr, path), outcome(os.getxattr, path, f"user.{7:0>250}")

        self.both(fill)


def random_acl(rng):
    entries = [(OWNER, rng.randrange(8))]
    entries += [(NAMED_USER, rng.randrange(8), USER + number) for number in range(rng.randrange(3))]
    entries += [(OWNING_GROUP, rng.randrange(8))]
    entries += [(NAMED_GROUP, rng.randrange(8), GROUP + number) for number in range(rng.randrange(3))]
    if len(entries) > 2 or rng.randrange(2):
        entries += [(MASK, rng.randrange(8))]
    entries += [(OTHERS, rng.randrange(8))]
    if rng.randrange(10) == 0:
        rng.shuffle(entries)
    return acl(*entries[rng.randrange(20) == 0:])


class Acls(Sides):
    def test_random_sequences(self):
        names = []
        rng = random.Random(1)
        for step in range(1000):
            name = rng.choice(names) if names else ""
            choice = rng.randrange(12)
            if choice < 3:
                parents = ["", *(other for other in names if other.endswith("d"))]
                kind = rng.choice("dfplc")
                made = os.path.join(rng.choice(parents), f"{step}{kind}")
                self.make(made, kind, rng.randrange(0o1000), rng.randrange(0o1000))
                names.append(made)
            elif choice < 6:
                self.call(os.setxattr, name, rng.choice((ACCESS, DEFAULT)), random_acl(rng))
            elif choice < 7:
                self.call(os.removexattr, name, rng.choice((ACCESS, DEFAULT)))
            elif choice < 9:
                mode = rng.randrange(0o10000)
                if name and not name.endswith("l"):
                    self.call(os.chmod, name, mode)
            elif choice < 10:
                self.call(os.setxattr, name, "user.a", rng.randbytes(rng.randrange(100)))
            else:
                self.both(lambda root: state_of(root, ["", *names]), step)

    def call(self, function, name, *arguments):
        self.both(lambda root: outcome(function, os.path.join(root, name), *arguments), function, name, arguments)

    def make(self, name, kind, mode, umask):
        def make_it(root):
            path = os.path.join(root, name)
            if kind == "d":
                os.mkdir(path, mode)
            elif kind == "f":
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            elif kind == "l":
                os.symlink("nothing", path)
            else:
                os.mknod(path, mode | (stat.S_IFIFO if kind == "p" else stat.S_IFREG))

        before = os.umask(umask)
        self.both(make_it)
        os.umask(before)

    def test_malformed_lists_are_refused(self):
        for value in (b"", b"x", acl(), acl((OWNER, 7)), acl((OWNER, 7), (OWNING_GROUP, 5), (OTHERS, 9)),
                      acl((OWNER, 7), (NAMED_USER, 7, USER), (OWNING_GROUP, 5), (OTHERS, 5)),
                      struct.pack("<I", 3), acl((OWNER, 7), (OWNING_GROUP, 5), (OTHERS, 5))[:-1]):
            for attribute in (ACCESS, DEFAULT):
                self.call(os.setxattr, "", attribute, value)
        self.both(lambda root: state_of(root, [""]))

    def test_permissions_are_those_of_the_list(self):
        def try_it(root):
            path = os.path.join(root, "file")
            write_file(path, b"secret")
            os.chmod(path, 0o600)
            def attempt():
                return [outcome(lambda: os.close(os.open(path, flags))) for flags in (os.O_RDONLY, os.O_WRONLY)]
            told = [as_user(attempt)]
            for permissions, mask in ((4, 7), (6, 7), (6, 4), (0, 7)):
                os.setxattr(path, ACCESS, acl((OWNER, 6), (NAMED_USER, permissions, USER), (OWNING_GROUP, 0),
                                              (MASK, mask), (OTHERS, 0)))
                told.append(as_user(attempt))
            os.chmod(path, 0o660)
            told.append(as_user(attempt))
            os.setxattr(path, ACCESS, acl((OWNER, 6), (OWNING_GROUP, 0), (NAMED_GROUP, 6, GROUP + 1), (MASK, 7),
                                          (OTHERS, 4)))
            told += [as_user(attempt), as_user(attempt, groups=[GROUP + 1])]
            os.removexattr(path, ACCESS)
            told.append(as_user(attempt))
            return told

        self.both(try_it)

    def test_users_change_what_they_own(self):
        value = acl((OWNER, 7), (NAMED_USER, 7, USER + 1), (OWNING_GROUP, 5), (MASK, 7), (OTHERS, 5))

        def try_it(root):
            path = os.path.join(root, "dir")
            os.mkdir(path)
            told = []
            for owner, groups in ((0, []), (USER, []), (USER, [GROUP + 1])):
                os.chown(path, owner, GROUP + 1)
                os.chmod(path, 0o2755)
                told.append(as_user(lambda: [outcome(os.setxattr, path, name, value) for name in (ACCESS, DEFAULT)],
                                    groups=groups))
                told.append(oct(os.stat(path).st_mode))  # strangers to the group lose S_ISGID
                told.append(as_user(lambda: [outcome(os.removexattr, path, name) for name in (ACCESS, DEFAULT)]))
            return told

        self.both(try_it)


class Programs(Sides):
    """What the usual programs carry over with attributes and ACLs."""

    def setUp(self):
        super().setUp()
        for program in ("setfacl", "getfacl", "setfattr", "getfattr", "setcap", "rsync"):
            if shutil.which(program) is None:
                self.skipTest(f"no {program} here")
        script = """set -e; cd "$1"; mkdir -p src/dir; echo hello > src/file; ln src/file src/other; ln -s file src/link
            setfattr -n user.a -v value src/file; setfattr -h -n trusted.b -v value src/link
            setcap cap_net_raw+ep src/other; setfacl -m u:4711:rw,g:4712:r src/file; setfacl -d -m u:4711:rwx src/dir
            echo below > src/dir/below; mkdir src/dir/deep; chmod 2770 src/dir/deep; setfattr -n user.c -v x src/dir"""
        self.both(lambda root: self.shell(script, root))

    def shell(self, script, *arguments):
        result = subprocess.run(["sh", "-c", script, "sh", *arguments], capture_output=True, text=True, check=False,
                                timeout=mounting.PATIENCE)
        return result.returncode, result.stdout, result.stderr

    def tree(self, path):
        script = 'cd "$1" && for name in $(find . | sort); do ls -ldn --time-style=+%s $name; ' \
                 'getfacl -np $name; getfattr -hd -m - $name; getcap $name; done'
        code, told, error = self.shell(script, path)
        self.assertEqual((code, error), (0, ""))
        return told

    def check_copy(self, script):
        """From tmpfs to ztmpfs and back again."""
        there, back = os.path.join(self.mountpoint, "copy"), os.path.join(self.tmpfs, "back")
        for source, target in ((os.path.join(self.tmpfs, "src"), there), (there, back)):
            os.mkdir(target)
            self.assertEqual(self.shell(script, source, target), (0, "", ""))
        without_sizes = [self.without_directory_sizes(self.tree(path)) for path in
                         (os.path.join(self.tmpfs, "src"), there, back)]
        self.assertEqual(without_sizes[0], without_sizes[1])
        self.assertEqual(without_sizes[1], without_sizes[2])
        self.assertIn("cap_net_raw=ep", without_sizes[1])
        self.assertIn("trusted.b", without_sizes[1])
        self.assertIn("default:user:4711:rwx", without_sizes[1])

    @staticmethod
    def without_directory_sizes(tree):
        lines = tree.splitlines()
        return "\n".join(" ".join(line.split()[:4] + line.split()[5:]) if line.startswith("d") else line
                         for line in lines)

    def test_tar_carries_everything_over(self):
        self.check_copy('tar -C "$1" --xattrs --xattrs-include="*" --acls -cf - . | '
                        'tar -C "$2" --xattrs --xattrs-include="*" --acls -xpf -')

    def test_cp_carries_everything_over(self):
        self.check_copy('cp -a "$1/." "$2"')

    def test_rsync_carries_everything_over(self):
        self.check_copy('rsync -aHAX "$1/" "$2"')


class Cap(MountTest):
    def test_full_mount_keeps_the_old_values(self):
        size = 48 * MIB if not self.is_sanitized else 192 * MIB  # sanitized heaps are large, and count
        self.mount(f"size={size},xattr")
        path = os.path.join(self.mountpoint, "file")
        write_file(path, b"content")
        old = {f"user.{number}": os.urandom(1000 * number) for number in range(10)}
        for name, value in old.items():
            os.setxattr(path, name, value)
        with self.assertRaises(OSError) as failure:
            with open(os.path.join(self.mountpoint, "fill"), "wb", buffering=0) as file:
                while True:
                    file.write(os.urandom(MIB))
        self.assertEqual(failure.exception.errno, errno.ENOSPC)
        results = {outcome(os.setxattr, path, f"user.new{number}", os.urandom(65536)) for number in range(12)}
        self.assertEqual(results - {None}, {"ENOSPC"})
        for name, value in old.items():
            self.assertEqual(os.getxattr(path, name), value)
        self.assertEqual(read_uncached(path), b"content")
        os.unlink(os.path.join(self.mountpoint, "fill"))
        self.assertTrue(mounting.wait_until(lambda: outcome(os.setxattr, path, "user.0", os.urandom(65536)) is None))
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()
        self.assert_clean()


class Refused(MountTest):
    def test_without_the_options_there_are_none(self):
        path = os.path.join(self.mountpoint, "file")
        for options, expected in (("size=64M", ("ENOTSUP",) * 3), ("size=64M,xattr", (None, b"v", "ENOTSUP"))):
            self.mount(options)
            write_file(path, b"x")
            told = (outcome(os.setxattr, path, "user.a", b"v"), outcome(os.getxattr, path, "user.a"),
                    outcome(os.setxattr, path, ACCESS, acl((OWNER, 7), (OWNING_GROUP, 5), (OTHERS, 5))))
            self.assertEqual(told, expected, options)
            self.unmount()
        self.assert_clean()


if __name__ == "__main__":
    mount_case.main(__doc__)
