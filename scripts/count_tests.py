#!/usr/bin/env python3
"""Counts the tests in a JUnit file of ctest: GoogleTest programs by their cases, other programs as one each."""

import re
import sys
import xml.etree.ElementTree as ElementTree

KINDS = {"PASSED": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
SUMMARY = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) {1,2}\] (\d+) tests?[.,]", re.MULTILINE)


def count(path):
    """The counts by kind, and the names of the failed programs."""
    counts = dict.fromkeys(KINDS.values(), 0)
    failed = []
    for test in ElementTree.parse(path).getroot().iter("testcase"):
        cases = SUMMARY.findall(test.findtext("system-out") or "")
        for kind, number in cases:
            counts[KINDS[kind]] += int(number)
        program_failed = test.find("failure") is not None or test.get("status") == "fail"
        if program_failed:
            failed.append(test.get("name"))
        if program_failed and not any(kind == "FAILED" for kind, _ in cases):
            counts["failed"] += 1  # it crashed or ran out of time before it could tell
        elif not cases and not program_failed:
            counts["skipped" if test.find("skipped") is not None else "passed"] += 1
    return counts, failed


def main():
    try:
        counts, failed = count(sys.argv[1])
    except (OSError, ElementTree.ParseError) as error:
        print(f"FAILED: no result ({error})")
        return
    line = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    print(line + (f" (FAILED: {' '.join(failed)})" if failed else ""))


main()
