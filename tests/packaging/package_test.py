#!/usr/bin/env python3
"""The Debian package that scripts/pack makes of a build: what is in it, whether it is always the same, what it does.

usage: package_test.py BUILD              the tests
       package_test.py BUILD --accept     writes contents.txt anew: what the package is to contain
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(HERE, "contents.txt")
PATIENCE = 300
SKIPPED = 77
build = ""


def run(command, exit_code=0, **arguments):
    """Output and errors of a program that ends with this status."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, **arguments)
    assert result.returncode == exit_code, f"{command}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout, result.stderr


def pack(output, umask=0o022, **environment):
    """The path of a package made of the build."""
    path, _ = run([os.path.join(ROOT, "scripts/pack"), build, output], umask=umask, env={**os.environ, **environment})
    return path.strip()


def contents_of(package):
    """One line per file: mode, owner, path and where a link leads; no sizes and times."""
    out, _ = run(["dpkg-deb", "--contents", package])
    lines = []
    for line in out.splitlines():
        mode, owner, _, _, _, path = line.split(maxsplit=5)
        lines.append(f"{mode} {owner} {path.removeprefix('.')}")
    return "".join(line + "\n" for line in sorted(lines, key=lambda line: line.split()[2]))


class Package(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="ztmpfs-package.")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.package = pack(os.path.join(cls.directory, "first"))
        cls.tree = os.path.join(cls.directory, "tree")
        run(["dpkg-deb", "--extract", cls.package, cls.tree])

    def field(self, name):
        return run(["dpkg-deb", "--field", self.package, name])[0].strip()

    def test_contents_are_those_of_the_list(self):
        with open(GOLDEN, encoding="utf-8") as file:
            self.assertEqual(contents_of(self.package), file.read(),
                             "if this is as it should be: package_test.py BUILD --accept")

    def test_packing_again_makes_the_same_bytes(self):
        again = pack(os.path.join(self.directory, "second"), umask=0o077, TZ="Asia/Kathmandu", LC_ALL="C",
                     LANG="de_DE.UTF-8", SOURCE_DATE_EPOCH="1", TMPDIR=self.directory, DEB_BUILD_OPTIONS="nostrip")
        with open(self.package, "rb") as first, open(again, "rb") as second:
            self.assertTrue(first.read() == second.read(), "two packages of one build differ")

    def test_lintian_has_no_complaint(self):
        out, _ = run(["lintian", "--allow-root", "--fail-on", "none", "--display-info", self.package])
        self.assertEqual([line for line in out.splitlines() if re.match(r"[EW]: ", line)], [])

    def test_there_is_one_version(self):
        version = re.search(r"^project\(ztmpfs VERSION (\S+) ", read("CMakeLists.txt"), re.MULTILINE).group(1)
        self.assertEqual(self.field("Version"), version)
        self.assertEqual(os.path.basename(self.package), f"ztmpfs_{version}_{self.field('Architecture')}.deb")
        for program in ("ztmpfs", "ztmpfsctl"):
            self.assertEqual(run([f"{self.tree}/usr/bin/{program}", "--version"])[0], f"{program} {version}\n")
        self.assertEqual(re.search(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE).group(1), version)
        self.assertRegex(read("packaging/debian/changelog"), rf"\Aztmpfs \({re.escape(version)}\) ")

    def test_every_page_is_there_and_renders_without_a_warning(self):
        sources = [name for name in os.listdir(f"{ROOT}/docs") if re.search(r"\.[1-8]\.md$", name)]
        self.assertGreaterEqual(len(sources), 2)
        for name in sources:
            page = name.removesuffix(".md")
            path = f"{self.tree}/usr/share/man/man{page[-1]}/{page}.gz"
            out, err = run(["man", "--warnings", "--local-file", path],
                           env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": ""})
            self.assertEqual(err, "")
            for heading in ("NAME", "SYNOPSIS", "DESCRIPTION"):
                self.assertRegex(out, rf"(?m)^{heading}$", page)
            self.assertRegex(out, rf"(?m)^NAME\n +{re.escape(page[:-2])} - \w")

    def test_dependencies_follow_from_what_is_linked(self):
        needed = self.field("Depends")
        for library in ("libc6", "liblz4-1", "libzstd1", "libboost-json1.81.0"):
            self.assertRegex(needed, rf"(^|, ){re.escape(library)} \(>= ")
        is_static = re.search(r"^ZTMPFS_LINKED_LIBFUSE:INTERNAL=.", read(f"{build}/CMakeCache.txt"), re.MULTILINE)
        self.assertEqual("libfuse3" in needed, not is_static)
        self.assertEqual(self.field("Built-Using").startswith("fuse3 (= 3."), bool(is_static))
        self.assertEqual(self.field("Recommends"), "fuse3")

    def test_programs_are_stripped_and_hardened(self):
        for program in ("ztmpfs", "ztmpfsctl"):
            headers, _ = run(["readelf", "--wide", "--headers", "--dynamic", f"{self.tree}/usr/bin/{program}"])
            self.assertNotIn(".debug_info", headers)
            for sign in ("GNU_RELRO", "BIND_NOW", "DYN (Position-Independent"):
                self.assertIn(sign, headers)

    def test_nothing_tells_where_it_was_built(self):
        for folder, _, files in os.walk(self.tree):
            for name in files:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    with open(path, "rb") as file:
                        self.assertFalse(build.encode() in file.read(), f"{path} names {build}")

    def test_mounts_outlive_an_upgrade_and_a_purge_leaves_nothing(self):
        """In a copy of this system that ends with the test: an overlay, in namespaces of its own."""
        if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
            self.skipTest("needs root and /dev/fuse")
        if subprocess.run(["unshare", "--mount", "sh", "-c", OVERLAY, "sh", self.directory, "true"], capture_output=True,
                          timeout=PATIENCE, check=False).returncode != 0:
            self.skipTest("no overlay of / can be mounted here")
        out, _ = run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", OVERLAY, "sh", self.directory,
                      f"PACKAGE={self.package}\n{LIFE}"])
        self.assertEqual(out, "kept\nanother server\nsame holder\nstill there\nclean\n")


def read(path):
    """The text of a file of the project."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


# $1: a directory; $2: what to run in the copy. The directory is the same in there.
OVERLAY = """set -e
mkdir -p "$1/overlay"
mount -t tmpfs none "$1/overlay"
cd "$1/overlay"
mkdir upper work all
mount -t overlay none -o lowerdir=/,upperdir=upper,workdir=work all
mount -t proc none all/proc
mount --rbind /dev all/dev
mount -t tmpfs none all/run
mount -t tmpfs none all/mnt
mkdir "all/mnt/packages"
cp "$1"/first/*.deb all/mnt/packages
exec chroot all sh -ec "$2"
"""

LIFE = """
export DPKG_FORCE=depends,unsafe-io LC_ALL=C.UTF-8
install() { dpkg --no-triggers --install "$1" > /dev/null; }
package="/mnt/packages/${PACKAGE##*/}"
pid_of() { ztmpfsctl --json list | grep -o "\\"$1_pid\\": *[0-9]*" | grep -o '[0-9]*$'; }
dpkg --no-triggers --purge ztmpfs > /dev/null 2>&1
install "$package"
mkdir /mnt/disk
mount -t ztmpfs disk /mnt/disk -o size=64M
echo kept > /mnt/disk/file
server="$(pid_of server)" holder="$(pid_of holder)"
install "$package"
cat /mnt/disk/file
[ "$(pid_of server)" = "$server" ] || echo another server
[ "$(pid_of holder)" != "$holder" ] || echo same holder
dpkg --no-triggers --remove ztmpfs > /dev/null
[ "$(cat /mnt/disk/file)" != kept ] || echo still there
umount /mnt/disk
dpkg --no-triggers --purge ztmpfs > /dev/null
[ -e /etc/ztmpfs ] || [ -e /run/ztmpfs ] || [ -e /usr/bin/ztmpfs ] || echo clean
"""


def main():
    global build
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = os.path.realpath(sys.argv.pop(1))
    missing = [program for program in ("dh", "lintian", "go-md2man", "man") if shutil.which(program) is None]
    if missing:
        print(f"skipped: there is no {missing[0]} here (scripts/deps package)")
        sys.exit(SKIPPED)
    if sys.argv[1:] == ["--accept"]:
        with tempfile.TemporaryDirectory() as directory:
            contents = contents_of(pack(directory))
        with open(GOLDEN, "w", encoding="utf-8") as file:
            file.write(contents)
        return
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
