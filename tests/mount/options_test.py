#!/usr/bin/env python3
"""Options of ztmpfs on the real kernel, as root: changing them while mounted, remount, fstab, what mount(8) passes on.

usage: options_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import os
import shutil
import stat
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, MountTest, read_file, read_uncached, write_file


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


class MountCommand(MountTest):
    """What mount(8) makes of it, in a mount namespace of its own: mount.fuse3 looks in the system's folders only."""

    def setUp(self):
        super().setUp()
        if not os.path.exists("/sbin/mount.fuse3"):
            self.skipTest("no mount.fuse3 here (package fuse3)")

    def shell(self, script, exit_code=0):
        """Output of the script with $M, the mount point; nothing may be mounted or run afterwards."""
        prepare = """set -e
            mount -t tmpfs none /usr/local/sbin
            ln -s "$1/ztmpfs" "$1/ztmpfsctl" /usr/local/sbin/
            M="$2"
            """
        return self.run_apart(prepare + script, exit_code)

    def write_fstab(self, options, source="disk"):
        path = os.path.join(self.place.directory, "fstab")
        write_file(path, f"{source} {self.mountpoint} fuse.ztmpfs {options} 0 0\n".encode())
        return path

    def test_remount_changes_the_size_of_the_mount_that_is_there(self):
        out, err = self.shell("""
            mount -t fuse.ztmpfs disk "$M" -o size=64M,noatime
            echo kept > "$M/file"
            mount -o remount,size=128M "$M"
            stat -f -c '%b %S' "$M"
            cat "$M/file"
            findmnt -n -o OPTIONS "$M"
            umount "$M" """)
        blocks, rest = out.split("\n", 1)
        self.assertEqual(int(blocks.split()[0]) * int(blocks.split()[1]), 128 * MIB)
        self.assertRegex(rest, r"\Akept\nrw,noatime,user_id=0,group_id=0\n\Z")
        self.assertEqual(err, "")

    def test_remount_changes_flags_and_keeps_the_others(self):
        out, _ = self.shell("""
            mount -t fuse.ztmpfs disk "$M" -o size=64M,nosuid,nodev,noexec
            mount -o remount,ro "$M"
            findmnt -n -o OPTIONS "$M"
            ! touch "$M/file" 2> /dev/null
            mount -o remount,rw,exec "$M"
            findmnt -n -o OPTIONS "$M"
            touch "$M/file"
            ztmpfs -o remount,hot=4M any "$M"
            findmnt -n -o OPTIONS "$M"
            ztmpfsctl --json stats | grep -o '"hot_limit":[0-9]*'
            umount "$M" """)
        read_only, writable, again, hot = out.splitlines()
        self.assertRegex(read_only, r"\Aro,nosuid,nodev,noexec,relatime,")
        self.assertRegex(writable, r"\Arw,nosuid,nodev,relatime,")
        self.assertEqual(again, writable)
        self.assertEqual(hot, f'"hot_limit":{4 * MIB}')

    def test_remount_by_fstab_takes_what_it_says(self):
        fstab = self.write_fstab("size=64M,codec=lz4,uid=5,allow_other,noauto,x-a=b", source="other")
        out, _ = self.shell(f"""
            ztmpfs -o size=80M,fsname=other,allow_other disk "$M"
            mount -T {fstab} -o remount "$M"
            stat -f -c '%b %S' "$M"
            umount "$M" """)
        self.assertEqual(int(out.split()[0]) * int(out.split()[1]), 64 * MIB)

    def test_remount_that_is_refused_says_why_and_changes_nothing(self):
        for options, code, reason in (("size=1M", 2, "'size=1M' is too small"), ("size=1T", 2, "'size=1T'"),
                                      ("sise=1", 2, "'sise' is unknown"), ("size=32M", 1, "are in use"),
                                      ("psi=/nowhere", 2, "/nowhere")):
            out, err = self.shell(f"""
                ztmpfs -o size=80M disk "$M"
                head -c 40000000 /dev/urandom > "$M/file"
                code=0
                mount -o remount,{options} "$M" || code=$?
                stat -f -c '%b %S' "$M"
                umount "$M"
                exit $code""", exit_code=code)
            self.assertRegex(err, r"\Aztmpfs: [^\n]+\n\Z")
            self.assertIn(reason, err)
            self.assertEqual(int(out.split()[0]) * int(out.split()[1]), 80 * MIB, options)

    def test_remount_of_what_is_not_there_fails(self):
        result = self.place.run("ztmpfs", "-o", "remount,size=64M", "disk", self.mountpoint)
        self.assertEqual((result.returncode, result.stderr),
                         (1, f"ztmpfs: no ztmpfs is mounted on {self.mountpoint}\n"))

    def test_fstab_line_is_mounted_by_its_mount_point_by_all_and_at_most_once(self):
        fstab = self.write_fstab("size=64M,nofail,x-systemd.automount,comment=x,user,noexec,mode=0750,_netdev")
        out, err = self.shell(f"""
            mount -T {fstab} "$M"
            findmnt -n -o SOURCE,FSTYPE,OPTIONS "$M"
            df --output=source,size "$M" | tail -1
            umount "$M"
            mount -T {fstab} -a
            mount -T {fstab} -a
            findmnt -n -o SOURCE "$M"
            stat -c %a "$M"
            umount "$M" """)
        first, usage, *rest = out.splitlines()
        self.assertRegex(first, r"\Adisk +fuse\.ztmpfs +rw,nosuid,nodev,noexec,relatime,")
        self.assertEqual(usage.split(), ["disk", "65536"])
        self.assertEqual((rest, err), (["disk", "750"], ""))

    def test_fsname_is_what_df_and_findmnt_show(self):
        out, _ = self.shell("""
            mount -t fuse.ztmpfs disk "$M" -o size=64M,fsname=my=scratch,subtype=other
            findmnt -n -o SOURCE,FSTYPE "$M"
            df --output=source "$M" | tail -1
            umount "$M" """)
        self.assertEqual(out.split(), ["my=scratch", "fuse.other", "my=scratch"])


class GenericOptions(MountTest):
    # Option: what is (or, behind "!", is not) in /proc/self/mounts then.
    SHOWN = {
        "ro": "ro", "rw": "rw", "nosuid": "nosuid", "suid": "!nosuid", "nodev": "nodev", "dev": "!nodev",
        "noexec": "noexec", "exec": "!noexec", "noatime": "noatime", "nodiratime": "nodiratime", "relatime": "relatime",
        "atime": "relatime", "diratime": "!nodiratime", "strictatime": "!relatime", "norelatime": "relatime",
        "nostrictatime": "relatime", "sync": "sync", "async": "!sync", "dirsync": "dirsync", "lazytime": "lazytime",
        "nolazytime": "!lazytime", "silent": "rw", "loud": "rw", "nosymfollow": "nosymfollow",
        "symfollow": "!nosymfollow", "default_permissions": "default_permissions", "allow_other": "allow_other",
    }
    IGNORED = ("defaults", "auto", "noauto", "nofail", "_netdev", "user", "user=me", "nouser", "users", "nousers", "owner",
               "noowner", "group", "nogroup", "comment=text", "x-systemd.requires=/a", "X-mount.mkdir", "mand", "nomand",
               "iversion", "noiversion")

    def shown(self):
        with open("/proc/self/mounts", encoding="utf-8") as table:
            for line in table:
                source, path, kind, options, *_ = line.split()
                if path == self.mountpoint:
                    return source, kind, options.split(",")
        raise AssertionError("not mounted")

    def test_each_has_the_effect_it_has_everywhere(self):
        for option, expected in self.SHOWN.items():
            self.mount(f"size=64M,{option}")
            options = self.shown()[2]
            if expected.startswith("!"):
                self.assertNotIn(expected[1:], options, option)
            else:
                self.assertIn(expected, options, option)
            self.unmount()
        self.assert_clean()

    def test_those_for_fstab_are_accepted_together(self):
        self.mount(",".join(("size=64M", *self.IGNORED)))
        self.assertEqual(self.shown()[:2], ("disk", "fuse.ztmpfs"))
        self.unmount()

    def test_flags_forbid_what_they_say(self):
        self.mount("size=64M,ro")
        with self.assertRaisesRegex(OSError, "Read-only file system"):
            write_file(os.path.join(self.mountpoint, "a"), b"")
        self.unmount()
        self.mount("size=64M,noexec,nodev,nosymfollow")
        program = os.path.join(self.mountpoint, "true")
        shutil.copy("/bin/true", program)
        with self.assertRaises(PermissionError):
            subprocess.run([program], check=False)
        os.mknod(os.path.join(self.mountpoint, "null"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        with self.assertRaises(PermissionError):
            os.open(os.path.join(self.mountpoint, "null"), os.O_RDONLY)
        os.symlink("true", os.path.join(self.mountpoint, "link"))
        with self.assertRaisesRegex(OSError, "Too many levels"):
            os.stat(os.path.join(self.mountpoint, "link"))
        self.unmount()
        self.mount("size=64M,exec,dev,suid")
        shutil.copy("/bin/true", program)
        self.assertEqual(subprocess.run([program], check=False).returncode, 0)
        os.mknod(os.path.join(self.mountpoint, "null"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        self.assertEqual(read_file(os.path.join(self.mountpoint, "null")), b"")
        self.unmount()

    def test_unknown_ones_are_named(self):
        for option in ("readonly", "size", "nosiz=1", "uid=me", "mode=9", "gid=-1", "nr_inodes=10", "no", "nox-a"):
            result = self.place.run("ztmpfs", "-o", f"size=64M,{option}", "disk", self.mountpoint)
            self.assertEqual((result.returncode, result.stdout), (2, ""), option)
            self.assertIn(f"'{option.split('=')[0]}", result.stderr)
        self.assert_clean()


if __name__ == "__main__":
    mount_case.main(__doc__)
