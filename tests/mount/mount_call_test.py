#!/usr/bin/env python3
"""/sbin/mount.fuse.ztmpfs and /sbin/mount.ztmpfs, as the package installs them: what mount(8) and fstab make of them.

usage: mount_call_test.py DIRECTORY_OF_BINARIES
"""

import os

import mount_case
from mount_case import MIB, MountTest, write_file


class MountCall(MountTest):
    """In a mount namespace of its own, where nothing else is in /usr/sbin."""

    def shell(self, script, exit_code=0):
        """Output of the script with $M, the mount point; nothing may be mounted or run afterwards."""
        prepare = """set -e
            mount -t tmpfs none /usr/sbin
            ln -s "$1/ztmpfs" /usr/sbin/mount.ztmpfs
            ln -s "$1/ztmpfs" /usr/sbin/mount.fuse.ztmpfs
            M="$2"
            """
        if os.path.realpath("/sbin") != "/usr/sbin":
            self.skipTest("/sbin is not /usr/sbin")
        return self.run_apart(prepare + script, exit_code)

    def test_both_types_make_the_same_mount(self):
        out, err = self.shell("""
            for type in fuse.ztmpfs ztmpfs; do
              mount -v -n -t $type disk "$M" -o size=64M,noatime > /dev/null
              findmnt -n -o SOURCE,FSTYPE,OPTIONS "$M"
              stat -f -c '%b %S' "$M"
              umount "$M"
            done""")
        self.assertEqual(err, "")
        first, first_size, second, second_size = out.splitlines()
        self.assertRegex(first, r"\Adisk +fuse\.ztmpfs +rw,nosuid,nodev,noatime,")
        self.assertEqual((second, second_size), (first, first_size))
        self.assertEqual(int(first_size.split()[0]) * int(first_size.split()[1]), 64 * MIB)

    def test_fstab_says_it_all(self):
        fstab = os.path.join(self.place.directory, "fstab")
        write_file(fstab, f"disk {self.mountpoint} fuse.ztmpfs size=64M,nofail,x-systemd.before=a,mode=0750 0 0\n"
                   f"none {self.mountpoint} ztmpfs noauto 0 0\n".encode())
        out, err = self.shell(f"""
            mount -a -T {fstab}
            mount -a -T {fstab}    # and does not mount twice
            findmnt -n -o SOURCE,FSTYPE "$M"
            stat -c %a "$M"
            umount "$M" """)
        self.assertEqual(out, "disk   fuse.ztmpfs\n750\n")
        self.assertEqual(err, "")

    def test_remount_changes_the_mount(self):
        out, _ = self.shell("""
            mount -t ztmpfs disk "$M" -o size=64M
            echo kept > "$M/file"
            mount -o remount,size=128M,ro "$M"
            stat -f -c '%b %S' "$M"
            findmnt -n -o OPTIONS "$M"
            cat "$M/file"
            umount "$M" """)
        size, options, kept = out.splitlines()
        self.assertEqual(int(size.split()[0]) * int(size.split()[1]), 128 * MIB)
        self.assertRegex(options, r"\Aro,")
        self.assertEqual(kept, "kept")

    def test_pretending_mounts_nothing_and_checks_the_options(self):
        self.shell("""
            mount -f -t fuse.ztmpfs disk "$M" -o size=64M
            ! findmnt "$M" """)
        _, err = self.shell("""mount -f -t fuse.ztmpfs disk "$M" -o size=nonsense""", exit_code=2)
        self.assertRegex(err, r"\Aztmpfs: [^\n]*size[^\n]*\n\Z")

    def test_an_unknown_option_is_named_and_nothing_mounted(self):
        for sloppy in ("", "-s "):
            _, err = self.shell(f"""mount {sloppy}-t ztmpfs disk "$M" -o sise=64M""", exit_code=2)
            self.assertRegex(err, r"\Aztmpfs: [^\n]*sise[^\n]*\n\Z")


if __name__ == "__main__":
    mount_case.main(__doc__)
