"""The private directory of a run, and what a killed run left behind: its mounts, its zram device, its directory."""

import glob
import os
import shutil
import tempfile

from . import commands
from .file_systems import remove_zram

PREFIX = "ztmpfs-peers."


def create_directory():
    """A private directory below the temporary folder; its name tells later runs whether the owner lives."""
    return tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}.")


def remove_directory(directory):
    """Takes down every mount below the directory and the zram device noted in it, then the directory itself."""
    for mountpoint in mounts_below(directory):
        commands.run(["umount", mountpoint], timeout=60, accept=range(256))
        if mountpoint in mounts_below(directory):
            commands.run(["umount", "-l", mountpoint], timeout=60, accept=range(256))
    note = os.path.join(directory, "zram_number")
    if os.path.exists(note):
        number = int(commands.read_text(note))
        if os.path.exists(f"/sys/block/zram{number}") and not zram_is_used(number):
            remove_zram(number)
    shutil.rmtree(directory, ignore_errors=True)


def mounts_below(directory):
    """Mount points below the directory, the deepest first."""
    points = []
    for line in commands.read_text("/proc/self/mounts").splitlines():
        point = line.split()[1].replace("\\040", " ")
        if point.startswith(directory + "/"):
            points.append(point)
    return sorted(points, key=len, reverse=True)


def zram_is_used(number):
    """True when the device is mounted or swap: then it is somebody else's by now."""
    tables = commands.read_text("/proc/self/mounts") + "\n" + commands.read_text("/proc/swaps")
    return any(line.startswith(f"/dev/zram{number} ") for line in tables.splitlines())


def remove_stale():
    """Removes what runs left whose process is gone."""
    for directory in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
        owner = os.path.basename(directory)[len(PREFIX):].split(".")[0]
        if owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            remove_directory(directory)
