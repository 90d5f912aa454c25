"""Bytes to store, made of what lies on this machine: whole tar files, in an order that a seed decides."""

import os
import random
import tarfile

from . import commands

MIB = 1 << 20
TEXT_SUFFIXES = (".py", ".pm", ".pl", ".pod", ".txt", ".html", ".md", ".json", ".xml", ".rst", "copyright")


def regular_files(folders, accept):
    """Paths of the regular files below the folders that accept(path) takes, sorted."""
    found = []
    for folder in folders:
        for directory, _, names in os.walk(folder):
            paths = (os.path.join(directory, name) for name in names)
            found += [path for path in paths if os.path.isfile(path) and not os.path.islink(path) and accept(path)]
    return sorted(found)


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def write_tar(path, files, limit):
    """A tar of as many of the files, shuffled, as fit into `limit` bytes."""
    random.Random(1).shuffle(files)
    total = 0
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in files:
            size = os.path.getsize(name) + 1024
            if total + size <= limit:
                tar.add(name)
                total += size


def write_c_sources(path, limit, sources):
    """The sources of git and redis; without a folder of bench/sources, headers of this machine."""
    if not sources:
        write_tar(path, regular_files(["/usr/include"], lambda name: name.endswith(".h")), limit)
        return
    commands.run(["cp", os.path.join(sources, "git.tar"), path])
    commands.run(["tar", "-A", "-f", path, os.path.join(sources, "redis.tar")])


def write_binaries(path, limit, _sources):
    write_tar(path, regular_files(["/usr/bin", "/usr/libexec"], is_elf), limit)


def write_text(path, limit, _sources):
    folders = ["/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl", "/usr/share/doc"]
    write_tar(path, regular_files(folders, lambda name: name.endswith(TEXT_SUFFIXES)), limit)


CORPORA = {"C sources": write_c_sources, "ELF binaries": write_binaries, "scripts, text": write_text}


def write(name, path, limit, sources):
    """Writes the corpus, cut at `limit` and at a whole page; returns its size. `sources`: folder, or empty."""
    CORPORA[name](path, limit, sources)
    size = min(os.path.getsize(path), limit) // 4096 * 4096
    os.truncate(path, size)
    return size
