#!/usr/bin/env python3
"""docs/posix.md and the tests agree: every operation is mapped, every deliberate difference has its heading.

usage: document_test.py DIFFERENTIAL      the program differential
"""

import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "mount"))

import posix_case  # noqa: E402
import table_test  # noqa: E402,F401  (which knows the tables)


def ask(program, option):
    return subprocess.run([program, option], capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()


def complaints(document, program):
    """One line per breach."""
    headings = set(re.findall(r"^#+ (.*)$", document, re.MULTILINE))
    rows = [line.split("|")[1:-1] for line in document.splitlines() if line.startswith("|")]
    kinds = {word for row in rows for word in re.split(r"[,\s]+", row[1]) if word}
    groups = {word for row in rows for word in re.split(r"[,\s]+", row[2]) if word}
    for section in set(ask(program, "--sections")) | {test.section for test in posix_case.CASES} - {None}:
        if section not in headings:
            yield f"no heading tells of '{section}'"
    for kind in ask(program, "--kinds"):
        if kind not in kinds:
            yield f"no operation is mapped to the kind {kind}"
    for group in {test.group for test in posix_case.CASES}:
        if group not in groups:
            yield f"no operation is mapped to the group {group}"
    for test in posix_case.CASES:
        if test.ours != test.expected and test.section is None:
            yield f"{test}: differs from tmpfs without saying why"


def main():
    path = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "posix.md")
    with open(path, encoding="utf-8") as file:
        found = list(complaints(file.read(), sys.argv[1]))
    print("\n".join(found) or "docs/posix.md tells of all tests")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
