"""What the acceptance programs share: a private mount of ztmpfs, its memory seen from outside, claims with verdicts."""

import argparse
import contextlib
import os
import signal
import sys
import threading
import time

sys.dont_write_bytecode = True
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(PROJECT, "bench"))

from peers_lib import commands, file_systems, stale_runs  # noqa: E402

MIB = 1 << 20
# The exit status that test suites take for "skipped".
SKIPPED = 77


class Claims:
    """Prints each claim with what was measured and the bar, and remembers whether all held."""

    def __init__(self):
        self.failures = 0
        self.skipped = 0

    def state(self, claim, measured, bar, holds):
        self.failures += 0 if holds else 1
        print(f"{'PASS' if holds else 'FAIL'}  {claim}: {measured} (bar: {bar})", flush=True)

    def skip(self, claim, reason):
        """A claim that this machine cannot be asked about."""
        self.skipped += 1
        print(f"SKIP  {claim}: {reason}", flush=True)

    def note(self, text):
        print(f"      {text}", flush=True)


class Mounted(file_systems.Ztmpfs):
    """A ztmpfs of the acceptance run, with what can be said about it from outside."""

    def outside_memory(self):
        """Bytes as the kernel counts them: blocks of all memfds of server and holder, plus RssAnon of both."""
        memfds, anonymous = {}, 0
        for pid in self.processes():
            folder = f"/proc/{pid}/fd"
            for entry in os.listdir(folder):
                path = os.path.join(folder, entry)
                try:
                    if os.readlink(path).startswith("/memfd:"):
                        status = os.stat(path)
                        memfds[(status.st_dev, status.st_ino)] = status.st_blocks * 512
                except OSError:
                    continue  # closed since listdir
            for line in commands.read_text(f"/proc/{pid}/status").splitlines():
                if line.startswith("RssAnon:"):
                    anonymous += int(line.split()[1]) * 1024
        return sum(memfds.values()) + anonymous

    def settled(self, claims):
        """Waits for the settled state; a state of its own claim, because every memory figure depends on it."""
        self.settle()
        hot = self.stats()["hot_bytes"]
        if hot != 0:
            claims.state("hot bytes after settling", hot, "0", False)


def tree_bytes(root):
    """(bytes, files): the lengths of all regular files below root, hard links once."""
    seen, total = set(), 0
    for directory, _, names in os.walk(root):
        for name in names:
            status = os.lstat(os.path.join(directory, name))
            if status.st_mode & 0o170000 == 0o100000 and status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_size
    return total, len(seen)


def state_agreement(claims, file_system):
    """Our own accounting against the kernel's; the promise begins at 100 MiB."""
    ours, outside = file_system.stats()["mem_used_total"], file_system.outside_memory()
    difference = abs(ours - outside) / outside
    text = f"{difference:.2%} (ours {ours / MIB:.2f} MiB, outside {outside / MIB:.2f} MiB)"
    if outside < 100 * MIB:
        claims.note(f"mem_used_total against the outside measure, below 100 MiB: {text}")
    else:
        claims.state("mem_used_total against the outside measure", text, "<= 5 %", difference <= 0.05)


def state_empty(claims, file_system, removed_at):
    """After rm -rf of everything: memory in use without the stock of free spans, within 1 s."""
    while True:
        stats = file_system.stats()
        held = stats["mem_used_total"] - stats["free_span_bytes"]
        waited = time.monotonic() - removed_at
        if held < 8 * MIB or waited > 1:
            break
        time.sleep(0.02)
    claims.state("memory after rm -rf of everything, without free spans",
                 f"{held / MIB:.2f} MiB after {waited:.2f} s", "< 8 MiB within 1 s", held < 8 * MIB)


def parser_of(document):
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--binaries", default=os.path.join(PROJECT, "build/release/bin"),
                        help="folder of ztmpfs and ztmpfsctl (default build/release/bin)")
    parser.add_argument("--options", default="", help="further mount options")
    parser.add_argument("--smoke", action="store_true", help="small sizes: does it still run")
    parser.add_argument("--limit", type=int, default=0, help="seconds after which the run is given up (default 3600; "
                        "with --smoke 150)")
    return parser


def stop(number, _frame):
    raise SystemExit(128 + number)


def give_up(claims, file_system, seconds):
    """The run hangs: without its daemon every call into the mount ends, and so does this program."""
    claims.state("the run", f"not done after {seconds} s", "an end", False)
    file_system.kill()


@contextlib.contextmanager
def mounted(file_system, arguments, claims):
    """Mounts the file system for a `with` block, which is given up when it takes too long."""
    seconds = arguments.limit or (150 if arguments.smoke else 3600)
    watch = threading.Timer(seconds, give_up, (claims, file_system, seconds))
    watch.daemon = True
    try:
        file_system.mount()
        watch.start()
        yield file_system
    finally:
        watch.cancel()
        file_system.unmount()


def main_with_directory(body):
    """Runs body(claims, directory) in a private directory, takes everything down; the exit status of the program."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    stale_runs.remove_stale()
    directory = stale_runs.create_directory()
    claims = Claims()
    try:
        body(claims, directory)
    except file_systems.Unavailable as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except (commands.CommandFailed, OSError) as error:
        claims.state("the run", error, "no error", False)
    finally:
        # From here on nothing may interrupt the clean-up.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        stale_runs.remove_directory(directory)
    print(f"{claims.failures} of the claims failed" if claims.failures else
          f"all claims hold, but {claims.skipped} were skipped" if claims.skipped else "all claims hold")
    return 1 if claims.failures else SKIPPED if claims.skipped else 0


def main_with_mount(arguments, size, body):
    """Mounts, runs body(claims, file_system, directory), takes everything down; the exit status of the program."""
    def mount_and_run(claims, directory):
        file_system = Mounted(directory, size, os.path.realpath(arguments.binaries), arguments.options)
        with mounted(file_system, arguments, claims):
            body(claims, file_system, directory)
    return main_with_directory(mount_and_run)
