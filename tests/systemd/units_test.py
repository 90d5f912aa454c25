#!/usr/bin/env python3
"""The unit files, and what the generator makes of configurations, without a systemd that runs.

usage: units_test.py BINARIES [unittest arguments]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
GOLDEN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "golden")
SYSTEM = os.path.join(ROOT, "systemd/ztmpfs@.service")
USER = os.path.join(ROOT, "systemd/user/ztmpfs@.service")
GENERATOR = os.path.join(ROOT, "systemd/generators/ztmpfs-generator")
PATIENCE = 60

# systemd.exec(5) and exec_needs_mount_namespace() in systemd's src/core/execute.c, up to version 257.
MOUNT_NAMESPACE = re.compile(
    "BindPaths|BindReadOnlyPaths|DynamicUser|ExecPaths|ExtensionDirectories|ExtensionImages|InaccessiblePaths|"
    "LogNamespace|MountAPIVFS|MountFlags|MountImages|NetworkNamespacePath|NoExecPaths|Private(BPF|Devices|IPC|Mounts|"
    "Network|Tmp|Users|PIDs)|IPCNamespacePath|ProcSubset|Protect(ControlGroups|Home|KernelLogs|KernelModules|"
    "KernelTunables|Proc|System)|ReadOnlyPaths|ReadWritePaths|Root(Directory|Image|Hash)|TemporaryFileSystem|"
    "(State|Cache|Logs|Configuration|Runtime)Directory|JoinsNamespaceOf|PrivateMounts")
# What a user's service manager can only do with NoNewPrivileges=, which ends fusermount3's set-user-ID.
NO_NEW_PRIVILEGES = re.compile(
    "NoNewPrivileges|SystemCall|RestrictNamespaces|RestrictAddressFamilies|RestrictRealtime|RestrictSUIDSGID|"
    "RestrictFileSystems|LockPersonality|MemoryDenyWriteExecute|Protect|Private|CapabilityBoundingSet|DynamicUser")
EXPOSURE_MAX = 4.0  # docs/systemd.md says what each point is for


def settings_of(path):
    """[(section, key, value)] in order."""
    found, section = [], ""
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("["):
                section = line[1:-1]
            elif line and not line.startswith("#"):
                key, value = line.split("=", 1)
                found.append((section, key, value))
    return found


def golden(name):
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as file:
        return file.read()


class SystemdTest(unittest.TestCase):
    binaries = ""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ztmpfs-units-")
        self.addCleanup(shutil.rmtree, self.directory)

    def run_tool(self, *command, **more):
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, **more)
        except FileNotFoundError:
            self.skipTest(f"there is no {command[0]}")


class Units(SystemdTest):
    def test_settings_are_the_golden_ones(self):
        for path, name in ((SYSTEM, "system.txt"), (USER, "user.txt")):
            text = "".join(f"{section} {key}={value}\n" for section, key, value in settings_of(path))
            self.assertEqual(text, golden(name))

    def test_no_setting_implies_a_mount_namespace(self):
        for path in (SYSTEM, USER):
            for section, key, _ in settings_of(path):
                self.assertFalse(section == "Service" and MOUNT_NAMESPACE.fullmatch(key), f"{key}= in {path}")

    def test_no_setting_of_the_users_unit_ends_fusermount(self):
        for _, key, _ in settings_of(USER):
            self.assertFalse(NO_NEW_PRIVILEGES.match(key), key)

    def test_user_unit_differs_only_where_it_must(self):
        system = {(section, key): value for section, key, value in settings_of(SYSTEM)}
        for section, key, value in settings_of(USER):
            if key not in ("ExecStop", "WantedBy"):
                self.assertEqual(system.get((section, key)), value, key)

    def test_verify_has_no_complaint(self):
        for path, options in ((SYSTEM, ()), (USER, ("--user",))):
            with open(path, encoding="utf-8") as file:
                text = file.read().replace("/usr/bin/ztmpfs", os.path.join(self.binaries, "ztmpfs"))
            copy = os.path.join(self.directory, "ztmpfs@.service")
            with open(copy, "w", encoding="utf-8") as file:
                file.write(text)
            result = self.run_tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *options, copy,
                                   env=dict(os.environ, XDG_RUNTIME_DIR=self.directory))
            self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""), path)

    def test_exposure_does_not_grow(self):
        result = self.run_tool("systemd-analyze", "security", "--offline=yes", "--no-pager", SYSTEM)
        figure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
        if not figure:
            self.skipTest("this systemd-analyze knows no security --offline=yes")
        self.assertLessEqual(float(figure.group(1)), EXPOSURE_MAX)


class Generator(SystemdTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("systemd-escape"):
            self.skipTest("there is no systemd-escape")
        self.config_dir = os.path.join(self.directory, "etc")
        self.late = os.path.join(self.directory, "late")
        os.mkdir(self.config_dir)
        os.mkdir(self.late)

    def write(self, name, text):
        with open(os.path.join(self.config_dir, name), "w", encoding="utf-8") as file:
            file.write(text)

    def generate(self):
        environment = dict(os.environ, ZTMPFS_CONFIG_DIR=self.config_dir,
                           ZTMPFS_PROGRAM=os.path.join(self.binaries, "ztmpfs"))
        result = self.run_tool(GENERATOR, "/nonexistent", "/nonexistent", self.late, env=environment)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        units = {}
        for name in sorted(os.listdir(self.late)):
            with open(os.path.join(self.late, name), encoding="utf-8") as file:
                units[name] = file.read().replace(self.config_dir, "/etc/ztmpfs")
        return units

    def test_mount_unit_is_the_golden_one(self):
        self.write("build.toml", 'mountpoint = "/srv/build"\nsize = "64M"\n')
        units = self.generate()
        self.assertEqual(list(units), ["srv-build.mount"])
        self.assertEqual(units["srv-build.mount"], golden("srv-build.mount"))

    def test_mount_points_are_escaped(self):
        self.write("odd.toml", 'mountpoint = "/srv/50% of-it"\nsize = "64M"\n')
        units = self.generate()
        self.assertEqual(list(units), ["srv-50\\x25\\x20of\\x2dit.mount"])
        self.assertIn("\nWhere=/srv/50%% of-it\n", units["srv-50\\x25\\x20of\\x2dit.mount"])

    def test_broken_ones_and_those_without_mount_point_do_no_harm(self):
        self.write("broken.toml", 'mountpoint = \n')
        self.write("unknown.toml", 'mountpoint = "/srv/unknown"\nfrob = 1\n')
        self.write("nowhere.toml", 'size = "64M"\n')
        self.write("not a name.toml", 'mountpoint = "/srv/other"\n')
        self.write("good.toml", 'mountpoint = "/srv/good/"\nsize = "64M"\n')
        self.assertEqual(list(self.generate()), ["srv-good.mount"])

    def test_of_two_with_one_mount_point_the_first_counts(self):
        for name in ("a", "b"):
            self.write(name + ".toml", 'mountpoint = "/srv/same"\nsize = "64M"\n')
        self.assertIn("\nWhat=a\n", self.generate()["srv-same.mount"])

    def test_no_configuration_no_unit(self):
        self.assertEqual(self.generate(), {})

    def test_what_it_makes_is_taken_by_systemd(self):
        self.write("build.toml", 'mountpoint = "/srv/build"\nsize = "64M"\n')
        self.generate()
        shutil.copy(SYSTEM, self.late)
        result = self.run_tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                               os.path.join(self.late, "srv-build.mount"))
        self.assertEqual((result.returncode, result.stdout + result.stderr), (0, ""))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    SystemdTest.binaries = os.path.realpath(sys.argv.pop(1))
    unittest.main(verbosity=2)
