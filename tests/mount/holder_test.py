#!/usr/bin/env python3
"""What the holder does beside starting servers: contents that outlive a mount, upgrades, names that are used again.

usage: holder_test.py BINARIES      exit 77: this machine cannot mount
"""

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import mount_case  # noqa: E402
import mounting  # noqa: E402
from mount_case import MIB, MountTest, read_file, read_uncached, write_file  # noqa: E402

KEEP = "size=64M,keep"


class Kept(MountTest):
    def list(self):
        return self.place.control("list")[0]

    def unmount_kept(self):
        self.unmount()
        self.assertTrue(mounting.wait_until(lambda: self.list()["state"] == "kept"))

    def forget(self, name="disk"):
        self.assertEqual(self.place.run("ztmpfsctl", "forget", name).stdout, f"{name}: forgotten\n")
        self.assert_clean()

    def mount_refused(self, options, sentence, mountpoint=None):
        result = self.place.run("ztmpfs", "-o", options, "disk", mountpoint or self.mountpoint)
        self.assertEqual(result.returncode, 1)
        self.assertIn(sentence, result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_contents_come_back_at_another_place(self):
        self.mount(KEEP)
        big = os.urandom(MIB) * 4
        write_file(os.path.join(self.mountpoint, "big"), big)
        os.mkdir(os.path.join(self.mountpoint, "dir"))
        os.link(os.path.join(self.mountpoint, "big"), os.path.join(self.mountpoint, "dir/link"))
        before = os.stat(os.path.join(self.mountpoint, "big"))
        self.unmount_kept()
        self.assertEqual(self.list(), dict(self.list(), name="disk", mountpoint=None, server_pid=None, state="kept"))
        first = self.mountpoint
        self.mountpoint = self.place.make_mountpoint("elsewhere")
        self.mount(KEEP)
        after = os.stat(os.path.join(self.mountpoint, "dir/link"))
        self.assertEqual((after.st_ino, after.st_nlink, after.st_mtime_ns), (before.st_ino, 2, before.st_mtime_ns))
        self.assertEqual(read_file(os.path.join(self.mountpoint, "big")), big)
        self.assertEqual(self.place.control("check"), {"ok": True, "breaches": []})
        write_file(os.path.join(self.mountpoint, "new"), b"x")
        self.assertGreater(os.stat(os.path.join(self.mountpoint, "new")).st_ino, before.st_ino)
        self.unmount_kept()
        self.mountpoint = first
        self.forget()

    def test_what_was_only_open_is_freed(self):
        self.mount(KEEP)
        path = os.path.join(self.mountpoint, "open")
        with open(path, "wb") as file:
            file.write(os.urandom(20 * MIB))
            file.flush()
            os.unlink(path)
            # The mount ends although it is in use.
            subprocess.run(["umount", "-l", self.mountpoint], check=True, timeout=mounting.PATIENCE)
        self.assertTrue(mounting.wait_until(lambda: self.list()["state"] == "kept"))
        self.assertEqual(self.place.control("check", "disk"), {"ok": True, "breaches": []})
        self.mount(KEEP)
        stats = self.place.control("stats")
        self.assertEqual((stats["files"], stats["orig_data_size"]), (0, 0))
        self.assertLess(stats["mem_used_total"], 16 * MIB)
        self.unmount_kept()
        self.forget()

    def test_server_killed_at_the_end_loses_nothing(self):
        for _ in range(5):
            self.mount(KEEP)
            write_file(os.path.join(self.mountpoint, "file"), b"kept")
            server = self.list()["server_pid"]
            killer = threading.Timer(0.01, os.kill, (server, signal.SIGKILL))
            killer.start()
            self.unmount()
            killer.join()
            self.assertTrue(mounting.wait_until(lambda: self.list()["state"] == "kept"))
            self.mount(KEEP)
            self.assertEqual(read_file(os.path.join(self.mountpoint, "file")), b"kept")
            self.assertEqual(self.place.control("check"), {"ok": True, "breaches": []})
            self.unmount_kept()
        self.forget()

    def test_options_that_do_not_fit_are_refused_and_nothing_is_lost(self):
        self.mount("size=96M,keep,block=16K,codec=none")
        data = os.urandom(40 * MIB)
        write_file(os.path.join(self.mountpoint, "file"), data)
        self.unmount_kept()
        self.mount_refused("size=96M,keep,block=64K", "are in blocks of 16.0 KiB")
        self.mount_refused("size=32M,keep", "option 'size' is too small: the contents kept of disk take 4")
        self.mount_refused(KEEP, "No such file", os.path.join(self.place.directory, "nowhere"))
        self.assertEqual(self.list()["state"], "kept")
        self.mount("size=96M")
        self.assertEqual(read_file(os.path.join(self.mountpoint, "file")), data)
        self.unmount()
        self.assert_clean()

    def test_setting_of_the_last_mount_is_not_that_of_the_next(self):
        self.mount(KEEP)
        self.place.control("set", "disk", "size=80M")
        self.unmount_kept()
        self.mount(KEEP)
        self.assertEqual(self.place.control("stats")["mem_limit"], 64 * MIB)
        self.unmount_kept()
        self.forget()

    def test_signal_to_the_holder_ends_it(self):
        self.mount(KEEP)
        self.unmount_kept()
        os.kill(self.list()["holder_pid"], signal.SIGTERM)
        self.assert_clean()

    def test_only_what_is_kept_can_be_forgotten(self):
        self.mount(KEEP)
        result = self.place.run("ztmpfsctl", "forget", "disk")
        self.assertEqual((result.returncode, result.stderr),
                         (1, f"ztmpfsctl: disk: a ztmpfs named disk is mounted already, on {self.mountpoint}\n"))
        self.assertEqual(self.place.run("ztmpfsctl", "forget").returncode, 2)
        self.unmount_kept()
        result = self.place.run("ztmpfsctl", "stats", "disk")
        self.assertEqual(result.returncode, 1)
        self.assertIn("disk is not mounted: its contents are kept", result.stderr)
        self.forget()

    def test_two_who_want_the_same_contents_get_them_once(self):
        self.mount(KEEP)
        write_file(os.path.join(self.mountpoint, "file"), b"kept")
        self.unmount_kept()
        places = [self.place.make_mountpoint(f"place{i}") for i in range(2)]
        command = [os.path.join(self.place.binaries, "ztmpfs"), "-o", KEEP, "disk"]
        mounts = [subprocess.Popen([*command, place], env=self.place.environment, stderr=subprocess.PIPE, text=True)
                  for place in places]
        results = [(mount.communicate(timeout=mounting.PATIENCE)[1], mount.returncode) for mount in mounts]
        self.assertEqual(sorted(code for _, code in results), [0, 1], results)
        self.mountpoint = places[[code for _, code in results].index(0)]
        self.assertEqual(read_file(os.path.join(self.mountpoint, "file")), b"kept")
        self.unmount_kept()
        self.forget()


    def remove_dead_mount(self):
        """Killed between mount(2) and the start of its server, a holder leaves nobody who could unmount."""
        with self.assertRaises(OSError) as caught:
            os.stat(self.mountpoint)
        self.assertEqual(caught.exception.errno, errno.ENOTCONN)
        subprocess.run(["umount", "-l", self.mountpoint], check=True, timeout=mounting.PATIENCE)

    def test_holder_killed_while_it_takes_over_loses_nothing(self):
        self.mount(KEEP)
        write_file(os.path.join(self.mountpoint, "file"), b"kept")
        self.unmount_kept()
        first = self.list()["holder_pid"]
        survived = 0
        for step in range(12):
            process = subprocess.Popen([os.path.join(self.place.binaries, "ztmpfs"), "-f", "-o", KEEP, "disk",
                                        self.mountpoint], env=self.place.environment, stderr=subprocess.DEVNULL)
            time.sleep(0.002 * step)
            process.kill()
            process.wait(timeout=mounting.PATIENCE)
            if not mounting.wait_until(lambda: [entry["holder_pid"] for entry in self.place.control("list")] == [first],
                                       patience=1):
                break  # it had them already
            survived += 1
            if not mounting.wait_until(lambda: not self.place.is_mounted(self.mountpoint), patience=3):
                self.remove_dead_mount()
        self.assertGreater(survived, 1)
        if survived < 12:
            self.assertTrue(mounting.wait_until(self.place.is_clean), self.place.leftovers())
            return
        self.mount(KEEP)
        self.assertEqual(read_file(os.path.join(self.mountpoint, "file")), b"kept")
        self.assertEqual(self.place.control("check"), {"ok": True, "breaches": []})
        self.unmount_kept()
        self.forget()


class Names(MountTest):
    def test_name_is_free_again_after_each_umount(self):
        for _ in range(100):
            self.mount("size=64M")
            subprocess.run(["umount", self.mountpoint], check=True, timeout=mounting.PATIENCE)
        self.assert_clean()

    def test_list_answers_while_the_server_stands_still(self):
        self.mount("size=64M")
        before = self.place.control("list")[0]
        os.kill(before["server_pid"], signal.SIGSTOP)
        self.assertEqual(self.place.control("list")[0], before)
        os.kill(before["server_pid"], signal.SIGCONT)
        self.unmount()
        self.assert_clean()

    def test_clients_that_say_nothing_or_nonsense_are_no_trouble(self):
        self.mount("size=64M")
        path = os.path.join(self.place.runtime, "disk.holder")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        silent = []
        for _ in range(20):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(path)
            silent.append(client)
        silent[0].send(b"\xff" * 1000)
        self.assertEqual(silent[0].recv(1000)[:1], b"-")
        for client in silent:
            client.close()
        self.assertEqual(self.place.control("list")[0]["state"], "mounted")
        self.unmount()
        self.assert_clean()


class Upgrades(MountTest):
    def setUp(self):
        super().setUp()
        self.program = os.path.join(self.place.directory, "installed")
        shutil.copy(os.path.join(self.place.binaries, "ztmpfs"), self.program)
        result = subprocess.run([self.program, "-o", "size=64M,hang=10s", "disk", self.mountpoint],
                                env=self.place.environment, capture_output=True, check=False, timeout=mounting.PATIENCE)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.addCleanup(self.end)

    def end(self):
        self.unmount()
        self.assert_clean()

    def install(self, source):
        """As package managers do it: another file in its place."""
        shutil.copy(source, self.program + ".new")
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def install_program(self, body):
        """A C program of this main()."""
        source = os.path.join(self.place.directory, "program.c")
        includes = "#include <signal.h>\n#include <stdio.h>\n#include <string.h>\n"
        write_file(source, f"{includes}int main(int argc, char** argv) {{ {body} }}\n".encode())
        subprocess.run(["g++", "-x", "c", "-o", source + ".out", source], check=True, timeout=mounting.PATIENCE)
        self.install(source + ".out")

    def server(self):
        return self.place.control("list")[0]["server_pid"]

    def test_new_program_serves_and_no_call_fails(self):
        failures = []
        done = threading.Event()

        def work(number):
            path = os.path.join(self.mountpoint, f"file{number}")
            try:
                for count in range(10**9):
                    data = str(count).encode()
                    write_file(path, data)
                    os.rename(path, path + ".moved")
                    if read_uncached(path + ".moved") != data:
                        failures.append("wrong contents")
                    os.unlink(path + ".moved")
                    if done.is_set():
                        return
            except OSError as error:
                failures.append(error)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for worker in workers:
            worker.start()
        for count in range(5):
            before = self.server()
            self.install(os.path.join(self.place.binaries, "ztmpfs"))
            result = self.place.run("ztmpfsctl", "upgrade", "disk")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertNotEqual(self.server(), before)
            self.assertTrue(os.path.samefile(f"/proc/{self.server()}/exe", self.program))
            self.assertEqual(self.place.control("stats")["server_restarts"], count + 1)
        done.set()
        for worker in workers:
            worker.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.place.control("check"), {"ok": True, "breaches": []})

    def test_program_that_does_not_know_how_is_refused(self):
        before = self.server()
        for body, sentence in (("return 2;", "is too old to be asked"),
                               ('puts("other layout"); return 1;', "other layout"),
                               ("raise(SIGSEGV);", "was ended by signal 11")):
            self.install_program(body)
            result = self.place.run("ztmpfsctl", "upgrade", "disk")
            self.assertEqual(result.returncode, 1)
            self.assertIn(sentence, result.stderr)
            self.assertEqual(self.server(), before)
        self.install(__file__)
        self.assertIn("cannot be started", self.place.run("ztmpfsctl", "upgrade", "disk").stderr)
        os.unlink(self.program)
        self.assertIn("cannot be opened", self.place.run("ztmpfsctl", "upgrade", "disk").stderr)
        # And the one that died is replaced by the very program, though its file has gone.
        os.kill(before, signal.SIGKILL)
        write_file(os.path.join(self.mountpoint, "file"), b"served")

    def test_program_that_says_yes_but_cannot_serve_is_taken_back(self):
        write_file(os.path.join(self.mountpoint, "file"), b"kept")
        self.install_program('return strncmp(argv[1], "--probe=", 8) != 0;')
        result = self.place.run("ztmpfsctl", "upgrade", "disk")
        self.assertEqual(result.returncode, 1)
        self.assertIn("the old one goes on", result.stderr)
        self.assertEqual(read_uncached(os.path.join(self.mountpoint, "file")), b"kept")

    def test_hangup_upgrades_too(self):
        before = self.place.control("list")[0]
        self.install(os.path.join(self.place.binaries, "ztmpfs"))
        os.kill(before["holder_pid"], signal.SIGHUP)
        self.assertTrue(mounting.wait_until(lambda: self.server() not in (before["server_pid"], None)))
        self.assertEqual(self.place.control("stats")["server_restarts"], 1)


class GivenUp(MountTest):
    def test_image_that_nobody_can_take_up_is_kept_for_a_check(self):
        self.mount("size=64M")
        write_file(os.path.join(self.mountpoint, "file"), b"x")
        mount = self.place.control("list")[0]
        with self.opened_image(mount["holder_pid"]) as image:
            # The record of the root directory: as many links as there cannot be.
            os.kill(mount["server_pid"], signal.SIGSTOP)
            self.damage(image)
            os.kill(mount["server_pid"], signal.SIGKILL)
            self.assertTrue(mounting.wait_until(lambda: self.place.control("list")[0]["state"] == "failed"))
        with self.assertRaises(OSError):
            os.stat(os.path.join(self.mountpoint, "other"))
        self.assertTrue(mounting.wait_until(lambda: not self.place.is_mounted(self.mountpoint)))
        check = json.loads(self.place.run("ztmpfsctl", "--json", "check", "disk").stdout)
        self.assertFalse(check["ok"])
        self.assertIn("the image is damaged", check["breaches"][0])
        result = self.place.run("ztmpfs", "-o", "size=64M", "disk", self.mountpoint)
        self.assertEqual(result.returncode, 1)
        self.assertIn("are damaged", result.stderr)
        self.place.run("ztmpfsctl", "forget", "disk")
        self.assert_clean()

    @staticmethod
    def opened_image(pid):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if "ztmpfs-meta" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                return open(f"/proc/{pid}/fd/{fd}", "r+b", buffering=0)
        raise AssertionError("the holder has no image")

    @staticmethod
    def damage(image):
        """The last page of the tables that is there: names."""
        end = 0
        while True:
            try:
                start = os.lseek(image.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(image.fileno(), start, os.SEEK_HOLE)
        for offset in range(end - 4096, end, 64):
            os.pwrite(image.fileno(), b"\xa5", offset)


if __name__ == "__main__":
    mount_case.main(__doc__)
