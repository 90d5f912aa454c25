#!/usr/bin/env python3
"""What the death of the server, of the holder and of both leaves.

usage: kill_test.py BINARIES      exit 77: this machine cannot mount
"""

import errno
import os
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import mount_case  # noqa: E402
import mounting  # noqa: E402
from mount_case import MIB, read_file, read_uncached, write_file  # noqa: E402
from users_test import UserTest, missing_programs  # noqa: E402


class DeathCase(mount_case.MountTest):
    def setUp(self):
        super().setUp()
        self.mount("size=256M,xattr")
        self.path = os.path.join(self.mountpoint, "file")

    def pids(self):
        """(holder, server)"""
        [entry] = self.place.control("list")
        return entry["holder_pid"], entry["server_pid"]

    def kill(self, *pids):
        """Kills them as if at once: none can do anything about the death of another."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def run_command(self, *command):
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=mounting.PATIENCE)


class DeathOfTheServer(DeathCase):
    def test_contents_open_files_and_the_mount_stay(self):
        data = os.urandom(3 * MIB)
        write_file(self.path, data)
        with open(self.path, "r+b", buffering=0) as file:
            os.unlink(self.path)
            holder, server = self.pids()
            self.kill(server)
            self.assertEqual(os.pread(file.fileno(), len(data), 0), data)
            self.assertEqual(os.pwrite(file.fileno(), b"after", 0), 5)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(os.pread(file.fileno(), 8, 0), b"after" + data[5:8])
            self.assertEqual(os.fstat(file.fileno()).st_nlink, 0)
            self.assertEqual(self.place.control("stats")["server_restarts"], 1)
            self.assertEqual(self.pids()[0], holder)
            self.assertNotEqual(self.pids()[1], server)
        self.unmount()
        self.assert_clean()


    def locked_kib(self):
        with open(f"/proc/{self.pids()[1]}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmLck:"))

    def test_each_server_has_its_request_buffers_locked_in_memory(self):
        """The kernel's copy to a page that is not there ends a request with EIO when the server dies meanwhile."""
        if self.is_sanitized:
            self.skipTest("with sanitizers mlock(2) does nothing")
        before = self.locked_kib()
        self.assertGreaterEqual(before, 1024)
        self.kill(self.pids()[1])
        self.assertFalse(os.path.exists(self.path))  # answered by the next one
        self.assertEqual(self.locked_kib(), before)
        self.unmount()


class DeathOfHolderAndServer(DeathCase):
    def test_callers_get_an_error_and_one_command_cleans_up(self):
        write_file(self.path, b"x")
        self.kill(*self.pids())

        def error_of_stat():
            try:
                os.stat(self.path)
                return 0
            except OSError as error:
                return error.errno
        # Who asks in the moment of the death gets ECONNABORTED.
        self.assertTrue(mounting.wait_until(lambda: error_of_stat() == errno.ENOTCONN))
        self.assertEqual(mounting.processes_of(self.place.directory), [])
        self.assertEqual(self.run_command("umount", "-l", self.mountpoint).returncode, 0)
        self.assertEqual(mounting.mounts_below(self.place.directory), [])

    def test_open_files_and_waiting_callers_get_an_error(self):
        write_file(self.path, b"x")
        holder, server = self.pids()
        with open(self.path, "rb", buffering=0) as file:
            os.kill(server, signal.SIGSTOP)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with subprocess.Popen(["stat", os.path.join(self.mountpoint, "other")], stderr=subprocess.PIPE) as waiting:
                self.kill(holder, server)
                _, said = waiting.communicate(timeout=mounting.PATIENCE)
                self.assertNotEqual(waiting.returncode, 0, said)
            with self.assertRaises(OSError):
                os.pread(file.fileno(), 1, 0)
        self.assertEqual(self.run_command("umount", "-l", self.mountpoint).returncode, 0)

    def test_name_can_be_mounted_again_and_leaves_nothing(self):
        self.kill(*self.pids())
        self.assertEqual(self.run_command("umount", "-l", self.mountpoint).returncode, 0)
        self.mount("size=64M")
        self.assertEqual(os.listdir(self.mountpoint), [])
        write_file(self.path, b"new")
        self.assertEqual(read_uncached(self.path), b"new")
        self.unmount()
        self.assert_clean()


class DeathOfTheHolder(DeathCase):
    def test_server_unmounts_and_ends(self):
        write_file(self.path, b"x")
        holder, _ = self.pids()
        self.kill(holder)
        self.assert_clean()

    def test_server_serves_users_until_they_are_done(self):
        write_file(self.path, b"x")
        holder, _ = self.pids()
        with open(self.path, "r+b", buffering=0) as file:
            self.kill(holder)
            self.assertTrue(mounting.wait_until(lambda: mounting.mounts_below(self.place.directory) == []))
            os.pwrite(file.fileno(), b"y", 0)
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(os.pread(file.fileno(), 1, 0), b"y")
        self.assert_clean()


class DeathOfAUsersMount(UserTest):
    def setUp(self):
        super().setUp()
        if missing := missing_programs("fusermount3"):
            self.skipTest(f"needs {missing[0]} (package fuse3)")
        self.give_to_user("mnt", "run")

    def test_fusermount_cleans_up(self):
        out = self.run_as_user("""
            ./ztmpfs -o size=64M disk mnt
            echo hello > mnt/file
            pids=$(./ztmpfsctl --json list | tr ',{}[]' '\\n' | sed -n 's/.*_pid"://p')
            kill -STOP $pids
            kill -KILL $pids
            for i in 1 2 3 4 5 6 7 8 9; do kill -0 $pids 2> /dev/null || break; sleep 0.1; done
            cat mnt/file 2>&1 || true
            fusermount3 -u mnt
            ./ztmpfs -o size=64M disk mnt
            ls -A mnt
            fusermount3 -u mnt""")
        self.assertIn("Transport endpoint is not connected", out)
        self.assertEqual(len(out.splitlines()), 1, out)
        self.assert_clean()


if __name__ == "__main__":
    mount_case.main(__doc__)
