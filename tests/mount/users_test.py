#!/usr/bin/env python3
"""Mounts of users and for users on the real kernel: permissions as on tmpfs, fusermount3, user namespaces.

usage: users_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import json
import os
import shutil
import subprocess
import sys

import mount_case
import mounting
from mount_case import MountTest, write_file
from permission_table import MEMBER, USER

TABLE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "permission_table.py")
# A namespace of its own with devices for everybody, because not every machine lets users open /dev/fuse.
AS_USER = f"""set -e
    mount -t tmpfs none /dev
    mknod -m 666 /dev/fuse c 10 229
    mknod -m 666 /dev/null c 1 3
    mknod -m 666 /dev/urandom c 1 9
    cd "$1"
    test ! -d plain || mount -t tmpfs -o mode=777 none plain
    exec setpriv --reuid {USER} --regid {USER} --clear-groups sh -e -c "$2" sh """
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def missing_programs(*names):
    return [name for name in names if shutil.which(name) is None]


class UserTest(MountTest):
    def setUp(self):
        super().setUp()
        if missing := missing_programs("setpriv", "unshare"):
            self.skipTest(f"needs {', '.join(missing)} (util-linux)")
        os.chmod(self.place.directory, 0o755)
        # To where an ordinary user can reach them.
        for path in (*(os.path.join(self.binaries, name) for name in ("ztmpfs", "ztmpfsctl")), TABLE):
            shutil.copy(path, self.place.directory)
        self.table_program = os.path.join(self.place.directory, os.path.basename(TABLE))
        probe = subprocess.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", PYTHON, "-c", ""],
                               capture_output=True, check=False, timeout=mounting.PATIENCE)
        if probe.returncode != 0:
            self.skipTest(f"users cannot run {PYTHON}")

    def give_to_user(self, *names):
        for name in names:
            os.chown(self.place.make_mountpoint(name), USER, USER)

    def table(self, kind, directory, *, as_user):
        command = [PYTHON, self.table_program, kind, directory]
        if as_user:
            command = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--groups", str(MEMBER), *command]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=mounting.PATIENCE)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return json.loads(result.stdout)

    def assert_equal_tables(self, ours, theirs):
        """Every difference at once: {claim: (ours, tmpfs's)}."""
        self.assertEqual(set(ours), set(theirs))
        self.assertEqual({claim: (ours[claim], theirs[claim]) for claim in ours if ours[claim] != theirs[claim]}, {})

    def run_as_user(self, script):
        """Output of the shell script, run by an ordinary user in the workplace, with mounts of its own."""
        result = subprocess.run(["unshare", "-m", "sh", "-c", AS_USER, "sh", self.place.directory, script],
                                env=self.place.environment, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        return result.stdout


class Permissions(UserTest):
    def test_guests_may_do_on_a_mount_of_roots_what_they_may_on_tmpfs(self):
        self.mount("size=256M,allow_other,suid,dev,mode=777")
        reference = self.place.make_mountpoint("tmpfs")
        subprocess.run(["mount", "-t", "tmpfs", "none", reference], check=True, timeout=mounting.PATIENCE)
        self.addCleanup(subprocess.run, ["umount", reference], check=True, timeout=mounting.PATIENCE)
        tables = []
        for directory in (self.mountpoint, reference):
            root = os.path.join(directory, "root")
            os.mkdir(root)
            self.table("prepare", root, as_user=False)
            tables.append(self.table("guest", root, as_user=True))
        self.assert_equal_tables(*tables)
        self.unmount()

    def test_change_of_permissions_is_seen_at_once_by_others(self):
        self.mount("size=64M,allow_other,mode=755")
        directory = os.path.join(self.mountpoint, "dir")
        os.mkdir(directory)
        write_file(os.path.join(directory, "file"), b"x")
        script = f"cat {directory}/file"
        for mode, code in ((0o755, 0), (0o700, 1), (0o711, 0), (0o644, 1), (0o755, 0)):
            os.chmod(directory, mode)
            result = subprocess.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "sh", "-c",
                                     script], capture_output=True, check=False, timeout=mounting.PATIENCE)
            self.assertEqual(result.returncode, code, f"{mode:o} {result.stderr}")
        self.unmount()

    def test_mount_of_roots_without_allow_other_is_closed_to_others(self):
        self.mount("size=64M,mode=777")
        result = subprocess.run(["setpriv", "--reuid", str(USER), "--clear-groups", "ls", self.mountpoint],
                                capture_output=True, text=True, check=False, timeout=mounting.PATIENCE)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Permission denied", result.stderr)
        self.unmount()


class OwnMount(UserTest):
    def setUp(self):
        super().setUp()
        if missing := missing_programs("fusermount3"):
            self.skipTest(f"needs {missing[0]} (package fuse3)")
        self.give_to_user("mnt", "plain", "run")

    def test_owner_may_do_what_he_may_on_tmpfs(self):
        out = self.run_as_user(f"""
            ./ztmpfs -o size=64M,relatime,nodiratime,noexec disk mnt
            findmnt -n -o OPTIONS $PWD/mnt
            mkdir mnt/root
            {PYTHON} permission_table.py owner $PWD/mnt/root
            fusermount3 -u mnt
            mkdir plain/root
            {PYTHON} permission_table.py owner $PWD/plain/root""")
        options, ours, theirs = out.splitlines()
        self.assertIn("noexec", options)
        self.assert_equal_tables(json.loads(ours), json.loads(theirs))
        self.assert_clean()

    def test_allow_other_takes_the_administrators_word(self):
        script = """
            if ./ztmpfs -o size=64M,allow_other disk mnt 2> plain/error; then echo mounted; fusermount3 -u mnt; fi
            cat plain/error"""
        out = self.run_as_user(script)
        with open("/etc/fuse.conf", encoding="utf-8") as conf:
            is_allowed = any(line.strip() == "user_allow_other" for line in conf)
        if is_allowed:
            self.assertEqual(out, "mounted\n")
        else:
            self.assertIn("user_allow_other", out)
        self.assert_clean()

    def test_allow_other_of_a_user_lets_others_in(self):
        conf = os.path.join(self.place.directory, "fuse.conf")
        write_file(conf, b"user_allow_other\n")
        prepare = f'mount --bind "{conf}" /etc/fuse.conf\n' + AS_USER
        script = "./ztmpfs -o size=64M,allow_other disk mnt; echo hello > mnt/file; chmod 644 mnt/file"
        after = f"""
            cd "$1"
            cat mnt/file
            setpriv --reuid {MEMBER} --clear-groups cat mnt/file
            ! setpriv --reuid {MEMBER} --clear-groups sh -c 'echo no > mnt/file' 2> /dev/null
            umount mnt"""
        prepare = prepare.replace("exec setpriv", "setpriv") + after
        result = subprocess.run(["unshare", "-m", "sh", "-c", prepare, "sh", self.place.directory, script],
                                env=self.place.environment, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "hello\nhello\n", ""))
        self.assert_clean()

    def test_user_changes_the_size_of_the_own_mount(self):
        out = self.run_as_user("""
            ./ztmpfs -o size=64M disk mnt
            ./ztmpfsctl set size=80M
            ./ztmpfs -o remount,size=96M disk mnt
            stat -f -c '%b %S' mnt
            fusermount3 -u mnt""")
        first, second = out.splitlines()
        self.assertEqual(first, "disk: size 80.0 MiB, hot 10.0 MiB, psi default")
        self.assertEqual(int(second.split()[0]) * int(second.split()[1]), 96 << 20)


class UserNamespace(UserTest):
    """unshare -Urm: root inside, an ordinary user outside, no fusermount3."""

    def setUp(self):
        super().setUp()
        probe = subprocess.run(["setpriv", "--reuid", str(USER), "--clear-groups", "unshare", "-Urm", "true"],
                               capture_output=True, text=True, check=False, timeout=mounting.PATIENCE)
        if probe.returncode != 0:
            self.skipTest(f"users may not make user namespaces here: {probe.stderr.strip()}")
        self.give_to_user("mnt", "plain", "run")

    def test_mount_works_and_files_belong_to_who_made_them(self):
        out = self.run_as_user("""
            unset ZTMPFS_RUNTIME_DIR
            export XDG_RUNTIME_DIR=$PWD/run
            unshare -Urm sh -e -c '
                ./ztmpfs -o size=64M disk mnt
                echo hello > mnt/file
                cat mnt/file
                stat -c "%u %g %a" mnt/file mnt
                ./ztmpfsctl --json list | grep -c disk
                findmnt -n -o SOURCE,FSTYPE $PWD/mnt
                ls run/ztmpfs
                umount mnt
                for i in 1 2 3 4 5 6 7 8 9; do test -e run/ztmpfs/disk.lock || break; sleep 0.2; done
                ls run/ztmpfs' """)
        self.assertEqual(out, "hello\n0 0 644\n0 0 1777\n1\ndisk   fuse.ztmpfs\ndisk.holder\ndisk.lock\ndisk.sock\n")
        shutil.rmtree(os.path.join(self.place.runtime, "ztmpfs"))
        self.assert_clean()

    def test_root_of_the_namespace_may_do_what_he_may_on_tmpfs(self):
        out = self.run_as_user(f"""unshare -Urm sh -e -c '
            ./ztmpfs -o size=64M disk mnt
            mount -t tmpfs none plain
            for place in mnt plain; do
                mkdir $place/root
                {PYTHON} permission_table.py owner $PWD/$place/root
            done
            umount mnt' """)
        self.assert_equal_tables(*map(json.loads, out.splitlines()))
        self.assert_clean()

    def test_end_of_the_namespace_ends_the_mount(self):
        self.run_as_user("""unshare -Urm --pid --fork --kill-child sh -e -c './ztmpfs -o size=64M disk mnt; touch mnt/a'""")
        self.assertTrue(mounting.wait_until(lambda: mounting.processes_of(self.place.directory) == []))


if __name__ == "__main__":
    mount_case.main(__doc__)
