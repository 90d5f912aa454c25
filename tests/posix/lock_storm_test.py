#!/usr/bin/env python3
"""Many threads rename, link and unlink across the same directories: no deadlock, no lost entry, a clean audit.

usage: lock_storm_test.py BINARIES [--seconds N] [--threads N] [--options OPTIONS]    exit 77: this machine cannot mount
"""

import argparse
import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "mount"))

import mounting  # noqa: E402

# More than any machine takes to get on; what hangs is ended by force.
MARGIN = 60


def storm(place, arguments, options):
    """True if all went well on a mount with these options."""
    mountpoint = place.make_mountpoint("mnt")
    result = place.run("ztmpfs", "-o", ",".join(filter(None, ["size=512M", options, arguments.options])), "storm",
                       mountpoint)
    if result.returncode != 0:
        sys.exit(f"lock_storm_test: {result.stderr}")
    command = [os.path.join(place.binaries, "lock_storm"), mountpoint, str(arguments.threads), str(arguments.seconds)]
    try:
        is_fine = subprocess.run(command, check=False, timeout=arguments.seconds + MARGIN).returncode == 0
    except subprocess.TimeoutExpired:
        print("FAIL deadlock: the threads do not end")
        return False
    audit = place.run("ztmpfsctl", "check", "storm", patience=MARGIN)
    if audit.returncode != 0:
        print(f"FAIL the audit: {audit.stdout}{audit.stderr}")
    ended = subprocess.run(["umount", mountpoint], check=False, timeout=mounting.PATIENCE).returncode == 0
    return is_fine and audit.returncode == 0 and ended and mounting.wait_until(place.is_clean)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binaries")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--options", default="")
    arguments = parser.parse_args()
    mounting.exit_if_impossible()
    mounting.TOTAL_PATIENCE = 2 * arguments.seconds + 5 * MARGIN
    place = mounting.Workplace(os.path.realpath(arguments.binaries))
    try:
        results = [storm(place, arguments, options) for options in ("", "allow_other")]
    finally:
        place.close()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
