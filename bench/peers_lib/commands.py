"""Running other programs: always with a time limit, always with a message that names the command."""

import os
import signal
import subprocess


class CommandFailed(Exception):
    """A program ended with another status than expected, or not in time."""


def run(arguments, timeout=900, accept=(0,), directory=None, environment=None, quiet=True):
    """Runs a program, returns its stdout as text. `accept` lists the exit statuses that are no failure."""
    try:
        child = subprocess.Popen(arguments, cwd=directory, env=environment, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
                                 start_new_session=True)
    except OSError as error:
        raise CommandFailed(f"{arguments[0]}: {error.strerror}") from error
    try:
        output, errors = child.communicate(timeout=timeout)
    except BaseException as error:
        # A group of its own: make's compilers must not go on writing into a mount that is being taken down.
        os.killpg(child.pid, signal.SIGKILL)
        try:
            child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            pass
        if isinstance(error, subprocess.TimeoutExpired):
            raise CommandFailed(f"{' '.join(arguments)}: not done after {timeout} s") from error
        raise
    if child.returncode not in accept:
        text = (errors or b"").decode(errors="replace").strip()[-2000:]
        raise CommandFailed(f"{' '.join(arguments)}: exit status {child.returncode}: {text}")
    return output.decode(errors="replace")


def read_text(path):
    """The file's text without the last line break."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().rstrip("\n")


def write_text(path, text):
    """Writes one value into a control file (sysfs, procfs)."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def drop_caches(what):
    """what: 1 page cache, 2 dentries and inodes, 3 both. Only clean pages go, so sync first. False if not allowed."""
    os.sync()
    try:
        write_text("/proc/sys/vm/drop_caches", str(what))
    except OSError:
        return False
    return True
