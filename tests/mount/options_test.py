#!/usr/bin/env python3
"""Options of ztmpfs on the real kernel, as root: changing them while mounted, remount, fstab, what mount(8) passes on.

usage: options_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import os
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, MountTest, read_uncached, write_file


class Set(MountTest):
    def set(self, setting, target="disk"):
        return self.place.run("ztmpfsctl", "set", target, setting)

    def total(self):
        usage = os.statvfs(self.mountpoint)
        return usage.f_blocks * usage.f_frsize

    def assert_size(self, size):
        self.assertEqual((self.total(), self.place.control("stats")["mem_limit"]), (size, size))

    def test_size_is_what_statfs_and_stats_tell_and_what_writers_meet(self):
        self.mount("size=256M")
        result = self.set("size=64M")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout, "disk: size 64.0 MiB, hot 8.0 MiB, psi default\n")
        self.assert_size(64 * MIB)
        path = os.path.join(self.mountpoint, "noise")
        with self.assertRaises(OSError):
            write_file(path, os.urandom(80 * MIB))
        self.assertEqual(self.place.control("set", self.mountpoint, "size=256M")["size"], 256 * MIB)
        data = os.urandom(80 * MIB)
        write_file(path, data)
        self.assertEqual(read_uncached(path), data)
        self.assert_size(256 * MIB)
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()
        self.assert_clean()

    def test_size_in_percent_is_of_the_machine(self):
        self.mount()
        self.assertEqual(self.set("size=1%").returncode, 0)
        one = self.total()
        self.place.control("set", "size=2%")
        self.assertAlmostEqual(self.total(), 2 * one, delta=4096)
        self.unmount()

    def test_size_below_the_contents_is_refused_with_both_figures_and_nothing_changes(self):
        self.mount("size=256M")
        data = os.urandom(96 * MIB)
        write_file(os.path.join(self.mountpoint, "noise"), data)
        result = self.set("size=64M")
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertRegex(result.stderr, r"\Aztmpfsctl: disk: size cannot become 64\.0 MiB: 1?\d\d\.\d MiB are in use, "
                                        r"and part of the size is reserved for deleting\n\Z")
        self.assert_size(256 * MIB)
        self.assertEqual(read_uncached(os.path.join(self.mountpoint, "noise")), data)
        self.unmount()

    def test_size_below_what_is_used_is_reached_when_it_compresses(self):
        self.mount("size=512M,hot=128M")
        data = b"".join(os.urandom(400) + bytes(3696) for _ in range(25600))  # 100 MiB
        write_file(os.path.join(self.mountpoint, "text"), data)
        self.assertEqual(self.set("size=160M").returncode, 0)
        self.assertEqual(self.set("hot=8M").returncode, 0)
        result = self.set("size=64M")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertLessEqual(self.place.control("stats")["mem_used_total"], 64 * MIB)
        self.assertEqual(read_uncached(os.path.join(self.mountpoint, "text")), data)
        self.unmount()

    def test_nonsense_is_wrong_usage(self):
        self.mount("size=64M")
        cases = {"size=1T": "most this mount can hold", "size=1M": "too small", "size=x": "'size=x'", "size=": "'size='",
                 "hot=0": "'hot=0'", "hot=60M": "too small", "psi=x": "'psi=x'", "psi=/nowhere": "/nowhere",
                 "block=4K": "cannot be changed", "sise=1G": "cannot be changed", "psi=off,size=1G": "comma",
                 "size": "KEY=VALUE", "=1": "KEY=VALUE"}
        for setting, reason in cases.items():
            result = self.set(setting)
            self.assertEqual((result.returncode, result.stdout), (2, ""), setting)
            self.assertRegex(result.stderr, r"\Aztmpfsctl: [^\n]+\n\Z")
            self.assertIn(reason, result.stderr)
        self.assertIn("64.0 GiB", self.set("size=65G").stderr)
        self.assert_size(64 * MIB)
        self.unmount()

    def test_hot_limit_is_kept_at_once(self):
        self.mount("size=512M,hot=256M")
        write_file(os.path.join(self.mountpoint, "noise"), os.urandom(48 * MIB))
        self.assertEqual(self.place.control("set", "hot=4M")["hot"], 4 * MIB)
        self.assertTrue(mounting.wait_until(lambda: self.place.control("stats")["hot_bytes"] <= 4 * MIB))
        self.assertEqual(self.place.control("stats")["hot_limit"], 4 * MIB)
        self.unmount()

    def test_pressure_sources_are_replaced(self):
        self.mount("size=64M,psi=off")
        fifo = os.path.join(self.place.directory, "fifo")
        os.mkfifo(fifo)
        self.assertEqual(self.place.control("stats")["psi"]["sources"], [])
        self.assertEqual(self.place.control("set", f"psi={fifo}")["psi"], fifo)
        source, = self.place.control("stats")["psi"]["sources"]
        self.assertEqual((source["path"], source["state"]), (fifo, "trigger"))
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"!")
        os.close(fd)
        self.assertTrue(mounting.wait_until(lambda: self.place.control("stats")["psi"]["events"] > 0))
        self.place.control("set", "psi=off")
        self.assertEqual(self.place.control("stats")["psi"]["sources"], [])
        with self.assertRaises(OSError):  # nobody reads it any more
            os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        self.unmount()
        self.assert_clean()

    def test_changing_under_load_loses_nothing(self):
        self.mount("size=512M")
        script = 'for i in $(seq 40); do head -c 1000000 /dev/urandom > "$0/f$i"; cp "$0/f$i" "$0/g$i" || exit 1; done'
        writer = subprocess.Popen(["sh", "-c", script, self.mountpoint])
        deadline = time.monotonic() + mounting.PATIENCE
        while writer.poll() is None and time.monotonic() < deadline:
            for setting in ("size=512M", "size=256M", "hot=1M", "hot=64M", "psi=some:200ms/2s"):
                self.place.control("set", setting)
        self.assertEqual(writer.wait(mounting.PATIENCE), 0)
        for number in range(1, 41):
            self.assertEqual(read_uncached(f"{self.mountpoint}/f{number}"), read_uncached(f"{self.mountpoint}/g{number}"))
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()


if __name__ == "__main__":
    mount_case.main(__doc__)
