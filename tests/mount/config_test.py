#!/usr/bin/env python3
"""Configuration files on the real kernel, as root: `ztmpfs NAME` alone, and what is wrong with a configuration.

usage: config_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import os
import subprocess

import mount_case
import mounting
from mount_case import MIB, MountTest

NOBODY = 65534


class ConfigTest(MountTest):
    def setUp(self):
        super().setUp()
        self.config_dir = os.path.join(self.place.directory, "etc")
        os.makedirs(os.path.join(self.config_dir, "disk.toml.d"))

    def path(self, name="disk.toml"):
        return os.path.join(self.config_dir, name)

    def write(self, text, name="disk.toml"):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def ztmpfs(self, *arguments):
        return self.place.run("ztmpfs", "--config-dir", self.config_dir, *arguments)

    def assert_refused(self, sentence, *arguments):
        result = self.ztmpfs(*(arguments or ("disk",)))
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertEqual(result.stderr, f"ztmpfs: {sentence}\n")
        self.assert_clean()


class Alone(ConfigTest):
    def test_name_alone_mounts_what_the_configuration_says(self):
        self.write(f'mountpoint = "{self.mountpoint}"\nsize = "128M"\nmode = "0700"\n')
        self.write('size = "64M"\n', "disk.toml.d/10.toml")
        result = self.ztmpfs("disk")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertTrue(self.place.is_mounted(self.mountpoint))
        self.assertEqual(self.place.control("stats")["mem_limit"], 64 * MIB)
        self.assertEqual(os.stat(self.mountpoint).st_mode & 0o7777, 0o700)
        self.unmount()
        self.assert_clean()

    def test_directory_that_is_missing_is_made(self):
        self.mountpoint = os.path.join(self.place.directory, "a/b")
        self.write(f'mountpoint = "{self.mountpoint}"\nsize = "64M"\n')
        self.assertEqual(self.ztmpfs("disk").returncode, 0)
        self.assertTrue(self.place.is_mounted(self.mountpoint))
        self.unmount()
        self.assert_clean()

    def test_command_line_says_where_instead(self):
        self.write('mountpoint = "/nowhere/else"\nsize = "64M"\n')
        self.assertEqual(self.ztmpfs("disk", self.mountpoint).returncode, 0)
        self.unmount()
        self.assertFalse(os.path.exists("/nowhere"))
        self.assert_clean()

    def test_check_mounts_nothing(self):
        self.write(f'mountpoint = "{self.mountpoint}"\nsize = "64M"\n')
        result = self.ztmpfs("--check-config", "disk")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout.split("\n")[:2], ["mountpoint=" + self.mountpoint, f"size={64 * MIB}"])
        self.assert_clean()


class Wrong(ConfigTest):
    def test_mount_point_of_two(self):
        self.write(f'mountpoint = "{self.mountpoint}"\nsize = "64M"\n', "first.toml")
        self.write(f'size = "64M"\nmountpoint = "{self.mountpoint}"\n')
        result = self.ztmpfs("first")
        self.assertEqual((result.returncode, result.stderr), (0, f"ztmpfs: warning: option 'mountpoint' in "
                                                              f"{self.path('first.toml')}:1 is also that of disk: only "
                                                              "one of the two can be mounted\n"))
        result = self.ztmpfs("disk")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr.split("\n")[-2],
                         f"ztmpfs: option 'mountpoint={self.mountpoint}' in {self.path()}:2: mount point "
                         f"{self.mountpoint} is in use: first (fuse.ztmpfs) is mounted there")
        self.assertEqual([entry["name"] for entry in self.place.control("list")], ["first"])
        self.assertTrue(self.place.control("check", "first")["ok"])
        self.unmount()
        self.assert_clean()

    def test_mount_point_with_something_else_on_it(self):
        self.write(f'mountpoint = "{self.mountpoint}"\n')
        subprocess.run(["mount", "-t", "tmpfs", "other", self.mountpoint], check=True, timeout=mounting.PATIENCE)
        result = self.ztmpfs("disk")
        subprocess.run(["umount", self.mountpoint], check=True, timeout=mounting.PATIENCE)
        self.assertEqual(result.returncode, 2)
        self.assertIn(f"{self.path()}:1: mount point {self.mountpoint} is in use: other (tmpfs)", result.stderr)
        self.assert_clean()

    def test_mount_point_that_is_no_directory(self):
        self.write(f'mountpoint = "{self.path()}"\n')
        self.assert_refused(f"option 'mountpoint={self.path()}' in {self.path()}:1: mount point {self.path()} is not a "
                            "directory")
        self.write(f'mountpoint = "{self.path()}/below"\n')
        self.assert_refused(f"option 'mountpoint={self.path()}/below' in {self.path()}:1: cannot make this directory: "
                            "Not a directory")

    def test_mount_point_missing_or_relative(self):
        self.write('size = "64M"\n')
        self.assert_refused(f"option 'mountpoint' in {self.path()} is missing: it says where to mount unless MOUNTPOINT "
                            "is given")
        self.write('mountpoint = "mnt"\n')
        self.assert_refused(f"option 'mountpoint' in {self.path()}:1 must be the absolute path of a directory")
        os.unlink(self.path())
        self.assert_refused(f"MOUNTPOINT is missing, and there is no {self.path()} (see ztmpfs --help)")

    def test_wrong_value_mounts_nothing_although_the_rest_is_right(self):
        self.write(f'mountpoint = "{self.mountpoint}"\nsize = "64M"\n')
        self.write('hot = [1]\n', "disk.toml.d/10.toml")
        self.assert_refused(f"option 'hot' in {self.path('disk.toml.d/10.toml')}:1 is an array: it must be a text, a "
                            "number, true or false")

    def test_unreadable_file(self):
        self.write(f'mountpoint = "{self.mountpoint}"\n')
        os.chmod(self.path(), 0o600)
        os.chmod(self.place.directory, 0o755)
        # Not with sanitizers, which may write reports where only root may.
        program = os.path.join(self.binaries, "ztmpfs")
        if subprocess.run([program, "--version"], user=NOBODY, capture_output=True, check=False,
                          timeout=mounting.PATIENCE).returncode != 0:
            self.skipTest("only root can run the program where it lies")
        result = subprocess.run([program, "--config-dir", self.config_dir, "disk"], user=NOBODY, capture_output=True,
                                text=True, check=False, timeout=mounting.PATIENCE)
        self.assertEqual((result.returncode, result.stderr),
                         (2, f"ztmpfs: cannot read the configuration {self.path()}: Permission denied\n"))
        self.assert_clean()


if __name__ == "__main__":
    mount_case.main(__doc__)
