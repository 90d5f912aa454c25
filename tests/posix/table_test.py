#!/usr/bin/env python3
"""Tables of POSIX cases, each checked on ztmpfs and on tmpfs: what is expected holds on both, or says where why not.

usage: table_test.py BINARIES [--modes private,shared,user] [--groups GROUP,...] [--without GROUP,...] [--list]

Modes: `private` is root's own mount, `shared` one of root's with allow_other, `user` one of an ordinary user's through
fusermount3. Exit 77: this machine cannot mount.
"""

import argparse
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "mount"))

import mounting  # noqa: E402
import posix_case  # noqa: E402
import cases_names  # noqa: E402,F401
import cases_attributes  # noqa: E402,F401
import cases_contents  # noqa: E402,F401
import cases_records  # noqa: E402,F401

USER = 65534
OPTIONS = {"private": "size=2G", "shared": "size=2G,allow_other", "user": "size=1G"}
# Reading changes no atime with us (docs/posix.md, "Access times").
REFERENCE_OPTIONS = "size=2G,nosuid,nodev,noatime,mode=1777"


def selected(mode, arguments):
    for test in posix_case.CASES:
        is_wanted = not arguments.groups or test.group in arguments.groups.split(",")
        is_left_out = test.group in arguments.without.split(",")
        is_possible = (test.uid is None or mode == "shared") and not (test.needs_root and mode == "user")
        if is_wanted and is_possible and not is_left_out:
            yield test


def run_cases(mode, arguments, mounts):
    """Failures, of all cases of the mode on both mounts: `mounts` are ours and the reference."""
    failures, count = 0, 0
    for number, test in enumerate(selected(mode, arguments)):
        count += 1
        for mountpoint, expected in zip(mounts, (test.ours, test.expected)):
            directory = os.path.join(mountpoint, str(number))
            os.mkdir(directory)
            os.chmod(directory, 0o777)
            result = posix_case.run(test, directory)
            if result != expected:
                failures += 1
                where = "ours" if mountpoint == mounts[0] else "tmpfs"
                print(f"FAIL {mode}: {test}: {where} gives {result!r}, expected {expected!r}", flush=True)
            shutil.rmtree(directory)
    print(f"{mode}: {count} cases on both, {failures} failures", flush=True)
    return failures + (count == 0)


def mounted_run(mode, arguments, place):
    mounts = [place.make_mountpoint("ours"), place.make_mountpoint("reference")]
    result = place.run("ztmpfs", "-o", OPTIONS[mode] + arguments.options, "tables", mounts[0])
    if result.returncode != 0:
        sys.exit(f"table_test: {result.stderr}")
    subprocess.run(["mount", "-t", "tmpfs", "-o", REFERENCE_OPTIONS, "reference", mounts[1]], check=True,
                   timeout=mounting.PATIENCE)
    failures = run_cases(mode, arguments, mounts)
    return failures + finish(place, mounts)


def finish(place, mounts):
    audit = place.run("ztmpfsctl", "check", "tables", patience=120)
    if audit.returncode != 0:
        print(f"FAIL the audit: {audit.stdout}{audit.stderr}")
    for path in mounts:
        subprocess.run(["umount", path], check=False, timeout=mounting.PATIENCE)
    return audit.returncode


AS_ROOT = """set -e
    mount -t tmpfs none /dev
    mknod -m 666 /dev/fuse c 10 229
    mknod -m 666 /dev/null c 1 3
    mount -t tmpfs -o "$3" reference "$2/reference"
    shift 3
    exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@" """


def user_run(arguments, place):
    """The program again, as the user, in a mount namespace with a /dev/fuse that the user may open."""
    if shutil.which("fusermount3") is None or shutil.which("setpriv") is None:
        print("user: skipped: needs fusermount3 and setpriv")
        return 0
    os.chmod(place.directory, 0o755)
    for name in ("ours", "run"):
        os.chown(place.make_mountpoint(name), USER, USER)
    place.make_mountpoint("reference")
    for name in ("ztmpfs", "ztmpfsctl"):
        shutil.copy(os.path.join(place.binaries, name), place.directory)
    scripts = os.path.join(place.directory, "scripts")  # to where the user can read them
    shutil.copytree(HERE, os.path.join(scripts, "posix"), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(os.path.join(os.path.dirname(HERE), "mount"), os.path.join(scripts, "mount"),
                    ignore=shutil.ignore_patterns("__pycache__"))
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    command = ["unshare", "-m", "sh", "-c", AS_ROOT, str(USER), str(USER), place.directory, REFERENCE_OPTIONS, python,
               os.path.join(scripts, "posix", "table_test.py"), place.directory, "--inside", place.directory,
               "--groups", arguments.groups, "--without", arguments.without, "--options", arguments.options]
    return subprocess.run(command, env=place.environment, check=False, timeout=mounting.TOTAL_PATIENCE).returncode


def run_inside(arguments):
    """As the user, with the reference mounted already."""
    directory = arguments.inside
    mounts = [os.path.join(directory, name) for name in ("ours", "reference")]
    subprocess.run([os.path.join(directory, "ztmpfs"), "-o", OPTIONS["user"] + arguments.options, "tables", mounts[0]],
                   check=True, timeout=mounting.PATIENCE)
    failures = run_cases("user", arguments, mounts)
    audit = subprocess.run([os.path.join(directory, "ztmpfsctl"), "check", "tables"], check=False,
                           timeout=mounting.TOTAL_PATIENCE)
    subprocess.run(["fusermount3", "-u", mounts[0]], check=True, timeout=mounting.PATIENCE)
    return 1 if failures + audit.returncode else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries")
    parser.add_argument("--modes", default="private,shared,user")
    parser.add_argument("--groups", default="")
    parser.add_argument("--without", default="")
    parser.add_argument("--options", default="", help="further mount options of ztmpfs, each with a comma before it")
    parser.add_argument("--list", action="store_true", help="print the cases and end")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    arguments = parse()
    if arguments.inside:
        return run_inside(arguments)
    if arguments.list:
        print("\n".join(map(str, posix_case.CASES)))
        return 0
    mounting.exit_if_impossible()
    failures = 0
    for mode in arguments.modes.split(","):
        place = mounting.Workplace(os.path.realpath(arguments.binaries))
        try:
            failures += user_run(arguments, place) if mode == "user" else mounted_run(mode, arguments, place)
        finally:
            place.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
