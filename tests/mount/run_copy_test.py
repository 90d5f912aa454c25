#!/usr/bin/env python3
"""What `ztmpfs run` copies in and out: all kinds of files, and nothing half done.

usage: run_copy_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import contextlib
import ctypes
import errno
import os
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, write_file
from run_case import RunTest, name_of, parent_of, processes_with


def describe(path):
    """All that a copy has to keep of one entry."""
    status = os.lstat(path)
    what = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev]
    if stat.S_ISREG(status.st_mode):
        what += [status.st_size, status.st_nlink, mount_case.read_file(path)]
    if stat.S_ISLNK(status.st_mode):
        what.append(os.readlink(path))
    else:
        what.append({name: os.getxattr(path, name) for name in os.listxattr(path)})
    return what


def describe_tree(root):
    found = {".": describe(root)}
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = describe(path)
    return found


def refuse_exchange():
    """From here on renameat2(RENAME_EXCHANGE) fails with EINVAL in this process, as on file systems without it."""
    number = {"x86_64": 316, "aarch64": 276}[os.uname().machine]
    load, equal, give = 0x20, 0x15, 0x06  # of struct seccomp_data: nr at 0, the fifth argument at 48
    program = struct.pack("=" + "HBBI" * 6, load, 0, 0, 0, equal, 0, 3, number, load, 0, 0, 48, equal, 0, 1, 2,
                          give, 0, 0, 0x00050000 | errno.EINVAL, give, 0, 0, 0x7FFF0000)
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("@HP", 6, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_no_new_privs, pr_set_seccomp, filter_mode = 38, 22, 2
    if libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0) != 0 or libc.prctl(pr_set_seccomp, filter_mode, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


class Copies(RunTest):
    options = "size=64M,xattr"

    def setUp(self):
        super().setUp()
        self.here = self.place.make_mountpoint("here")

    def tearDown(self):
        self.assertEqual([name for name in os.listdir(self.here) if name.startswith(".")], [])
        self.assert_nothing_left()

    def shell(self, script, *options, **keywords):
        return super().shell(script, *options, cwd=self.here, **keywords)

    def path(self, *names):
        return os.path.join(self.here, *names)

    def write(self, name, data=b"data\n"):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        write_file(self.path(name), data)

    def make_tree(self):
        """Every kind of file; returns what it is."""
        self.write("tree/plain", b"some text\n" * 5000)
        self.write("tree/sub/deeper/.hidden", b"")
        os.symlink("sub/nowhere", self.path("tree/link"))
        os.link(self.path("tree/plain"), self.path("tree/sub/same"))
        os.mkfifo(self.path("tree/fifo"), 0o640)
        os.mknod(self.path("tree/device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(self.path("tree/socket")))
        with open(self.path("tree/sparse"), "wb") as file:
            file.truncate(64 * MIB)
            file.seek(20 * MIB)
            file.write(b"island")
        self.write("tree/odd \n name\xff", b"x")
        os.setxattr(self.path("tree/plain"), "user.note", b"value")
        os.setxattr(self.path("tree/sub"), "user.note", b"of a directory")
        os.chown(self.path("tree/sub/deeper/.hidden"), 1234, 5678)
        os.chmod(self.path("tree/plain"), 0o4755)
        os.chmod(self.path("tree/sub/deeper"), 0o2555)
        for number, name in enumerate(("plain", "link", "fifo", "device", "socket", "sub/deeper", "sub", ".")):
            os.utime(self.path("tree", name), ns=(10**18 + number, 10**18 + 7 * number), follow_symlinks=False)
        return describe_tree(self.path("tree"))

    def test_copy_there_and_back_keeps_everything(self):
        before = self.make_tree()
        result = self.shell("stat -c %b sparse", "--copy-in", "tree", "--copy-out", ".:back")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertLess(int(result.stdout), 2048, "the hole was filled")
        self.assertEqual(describe_tree(self.path("back")), before)
        self.assertLess(os.stat(self.path("back/sparse")).st_blocks, 2048)
        self.assertEqual(describe_tree(self.path("tree")), before)
        same = {os.stat(self.path("back", name)).st_ino for name in ("plain", "sub/same")}
        self.assertEqual(len(same), 1)

    def test_copy_is_a_copy(self):
        self.write("tree/file", b"before")
        self.assertEqual(self.shell("echo after > file; rm -r sub; ls", "--copy-in", "tree").stdout, "file\n")
        self.assertEqual(mount_case.read_file(self.path("tree/file")), b"before")

    def test_copy_in_of_what_the_mount_lies_in_leaves_the_mount_out(self):
        self.write("file")
        result = self.shell("find . -name work; cat here/file", "--copy-in", self.place.directory)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "data\n", ""))

    def test_copy_in_that_fails_names_the_path(self):
        self.write("file")
        for directory in ("missing", "file"):
            result = self.shell("echo ran", "--copy-in", directory)
            self.assertEqual((result.returncode, result.stdout), (125, ""))
            self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{directory}[^\n]*\n$")

    def test_copy_in_without_room_says_so(self):
        self.write("tree/large", os.urandom(80 * MIB))
        result = self.shell("echo ran", "--copy-in", "tree")
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot copy [^\n]*tree/large to [^\n]*: No space left on device\n$")

    def test_results_come_out_under_their_names(self):
        result = self.shell("echo one > a; mkdir -p b/c; echo two > b/c/d; ln -s b/c here; umask 0; echo x > w",
                            "--copy-out", "a", "--copy-out", "b/c/d:out/deep/name", "--copy-out", "b:there/", "--copy-out",
                            "here", "--copy-out", f"w:{self.path('new:name')}", umask=0o027)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for name, text in (("a", b"one\n"), ("out/deep/name", b"two\n"), ("there/b/c/d", b"two\n"), ("here/d", b"two\n"),
                           ("new:name", b"x\n")):
            self.assertEqual(mount_case.read_file(self.path(name)), text)
        modes = [stat.S_IMODE(os.stat(self.path(name)).st_mode) for name in ("a", "out/deep", "new:name")]
        self.assertEqual(modes, [0o640, 0o750, 0o666])

    def test_results_of_a_failed_command_stay_unless_they_are_always_wanted(self):
        result = self.shell("echo x | tee a b; exit 9", "--copy-out", "a", "--copy-out-always", "b")
        self.assertEqual((result.returncode, os.listdir(self.here)), (9, ["b"]))
        result = self.shell("kill -9 $$", "--copy-out-always", "missing")
        self.assertEqual(result.returncode, -9)
        self.assertRegex(result.stderr, r"^ztmpfs run: --copy-out missing: No such file or directory\n$")

    def test_missing_result_fails_and_brings_none(self):
        result = self.shell("echo x > a", "--copy-out", "a", "--copy-out", "out/missing")
        self.assertEqual((result.returncode, os.listdir(self.here)), (125, []))
        self.assertRegex(result.stderr, r"^ztmpfs run: --copy-out out/missing: No such file or directory\n$")

    def test_files_are_replaced_and_directories_only_if_asked(self):
        self.write("a", b"old")
        self.write("d/old", b"old")
        script = "echo new > a; mkdir d; echo new > d/new"
        self.assertEqual(self.shell(script, "--copy-out", "a").returncode, 0)
        self.assertEqual(mount_case.read_file(self.path("a")), b"new\n")
        result = self.shell("echo ran", "--copy-out", "d")
        self.assertEqual((result.returncode, result.stdout, os.listdir(self.path("d"))), (125, "", ["old"]))
        self.assertRegex(result.stderr, r"^ztmpfs run: [^\n]*/d is there already[^\n]*--replace[^\n]*\n$")
        self.assertEqual(self.shell(script, "--replace", "--copy-out", "d").returncode, 0)
        self.assertEqual(os.listdir(self.path("d")), ["new"])

    def test_destinations_that_cannot_be_are_refused_before_the_command_runs(self):
        self.write("file")
        for options, culprit in ((["--replace", "--copy-out", "."], "was called"),
                                 (["--replace", "--copy-out", f"a:{self.place.directory}"], "was called"),
                                 (["--copy-out", "a:file/b"], "file"), (["--copy-out", "a", "--copy-out", "b:./a"], "two results")):
            result = self.shell("echo ran", *options)
            self.assertEqual((result.returncode, result.stdout), (125, ""), options)
            self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{culprit}[^\n]*\n$")

    def test_symbolic_link_to_a_directory_is_refused_before_the_command_runs(self):
        self.write("dist-1/old")
        os.symlink("dist-1", self.path("dist"))
        for options in ([], ["--replace"]):
            result = self.shell("echo ran", "--copy-out", "dist", *options)
            self.assertEqual((result.returncode, result.stdout, os.readlink(self.path("dist"))), (125, "", "dist-1"))
            self.assertRegex(result.stderr, r"^ztmpfs run: [^\n]*/dist: it is a symbolic link to a directory\n$")

    def kept_results(self, result):
        """The paths that a run has named that could not put its results in their places."""
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot put [^\n]*\n$")
        paths = re.findall(r"the result is in ([^;\n]+)", result.stderr)
        self.assertEqual(sorted(name for name in os.listdir(self.here) if name.startswith("ztmpfs-")),
                         sorted(os.path.basename(path) for path in paths))
        return paths

    def test_result_that_cannot_take_its_place_is_kept(self):
        self.write("file", b"old")
        self.write("directory/old", b"old")
        for script, options in (("mkdir r; echo new > r/new", ["--copy-out", "r:file"]),
                                ("echo new > r", ["--replace", "--copy-out", "r:directory"]),
                                (f"echo new > r; mkdir -p {self.path('late/full')}", ["--copy-out", "r:late"]),
                                (f"mkdir r; echo new > r/new; mkdir -p {self.path('later/full')}", ["--copy-out", "r:later"])):
            (kept,) = self.kept_results(self.shell(script, *options))
            name = os.path.join(kept, "new") if os.path.isdir(kept) else kept
            self.assertEqual(mount_case.read_file(name), b"new\n", script)
            shutil.rmtree(kept) if os.path.isdir(kept) else os.unlink(kept)
        self.assertEqual((mount_case.read_file(self.path("file")), os.listdir(self.path("directory"))), (b"old", ["old"]))

    def test_result_with_something_in_its_way_holds_the_others_back(self):
        self.write("file", b"old")
        self.write("a", b"old")
        result = self.shell("echo new > a; mkdir r", "--copy-out", "a", "--copy-out", "r:file")
        kept, directory = self.kept_results(result)
        self.assertEqual((mount_case.read_file(self.path("a")), mount_case.read_file(kept)), (b"old", b"new\n"))
        self.assertEqual((mount_case.read_file(self.path("file")), os.listdir(directory)), (b"old", []))

    def test_directory_is_replaced_where_names_cannot_be_exchanged(self):
        self.write("d/old")
        result = self.shell("mkdir d; echo new > d/new", "--replace", "--copy-out", "d", preexec_fn=refuse_exchange)
        self.assertEqual((result.returncode, result.stderr, os.listdir(self.path("d"))), (0, "", ["new"]))

    def test_destination_without_room_is_left_alone(self):
        small = self.place.make_mountpoint("here/small")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", small], check=True, timeout=mounting.PATIENCE)
        self.addCleanup(subprocess.run, ["umount", small], check=True, timeout=mounting.PATIENCE)
        self.write("small/a", b"old")
        result = self.shell("head -c 2M /dev/urandom > a", "--copy-out", "a:small/a")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot copy [^\n]*work/a to [^\n]*: No space left on device\n$")
        self.assertEqual((os.listdir(small), mount_case.read_file(self.path("small/a"))), (["a"], b"old"))

    def assert_nothing_left(self):
        small = os.path.join(self.here, "small")
        self.assertTrue(mounting.wait_until(lambda: (
            [path for _, path in self.leftovers()[0] if path != small], *self.leftovers()[1:]) == ([], [], [])))

    def test_killed_while_copying_out_leaves_nothing_or_the_whole(self):
        dice = random.Random(7)
        self.write("tree/file", b"old")
        script = "mkdir tree; for i in 1 2 3 4 5 6 7 8; do head -c 1M /dev/zero > tree/$i; done; echo ready"
        for _ in range(2 if self.is_sanitized else 6):
            process = self.start_it("--replace", "--copy-out", "tree", "--copy-out", "tree/8:some/where/one", "sh", "-c",
                                    script, cwd=self.here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdout.readline()
            process.stdout.close()
            time.sleep(dice.random() * 0.06)
            pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
            guards = [pid for pid in pids if name_of(pid) == "ztmpfs-guard" and parent_of(pid) == process.pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice([process.pid, *guards]), signal.SIGKILL)
            process.wait(mounting.PATIENCE)
            self.assert_nothing_left()
            tree = sorted(os.listdir(self.path("tree")))
            self.assertIn(tree, (["file"], list("12345678")))
            shutil.rmtree(self.path("tree"))
            self.write("tree/file", b"old")
            if os.path.exists(self.path("some")):
                self.assertEqual(os.path.getsize(self.path("some/where/one")), MIB)
                shutil.rmtree(self.path("some"))

    def test_ctrl_c_while_copying_in_ends_the_run(self):
        self.write("tree/large", bytes(1000))
        os.truncate(self.path("tree/large"), 0)
        with open(self.path("tree/large"), "wb") as file:
            for _ in range(40):
                file.write(os.urandom(MIB))
        process = self.start_it("--copy-in", "tree", "echo", "ran", cwd=self.here, stdout=subprocess.PIPE)
        self.assertTrue(mounting.wait_until(lambda: mounting.mounts_below(self.place.directory)))
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.stdout.read(), process.wait(mounting.PATIENCE)), ("", -signal.SIGINT))
        process.stdout.close()


if __name__ == "__main__":
    mount_case.main(__doc__)
