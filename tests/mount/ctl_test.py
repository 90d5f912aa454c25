#!/usr/bin/env python3
"""ztmpfsctl against real mounts, as root: what it foretells is what a mount then takes, and what it shows is there.

usage: ctl_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, MountTest, write_file

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def make_tree(top):
    """The project's own sources, programs, small files, a file with holes, links: about 25 MiB."""
    for folder in ("base", "pool", "store", "fs", "fuse", "daemon", "tests", "docs"):
        shutil.copytree(os.path.join(PROJECT, folder), os.path.join(top, folder), symlinks=True)
    chance = random.Random(5)
    for number in range(4000):
        directory = os.path.join(top, "small", str(number // 100))
        os.makedirs(directory, exist_ok=True)
        words = " ".join(str(chance.randrange(1000)) for _ in range(chance.randrange(200)))
        write_file(os.path.join(directory, f"{number}.txt"), words.encode())
    for name in ("python3", "bash"):
        shutil.copy(shutil.which(name), os.path.join(top, name))
    write_file(os.path.join(top, "noise"), chance.randbytes(4 * MIB))
    with open(os.path.join(top, "sparse"), "wb") as file:
        file.truncate(64 * MIB)
        file.seek(32 * MIB)
        file.write(b"text " * 100000)
    os.link(os.path.join(top, "noise"), os.path.join(top, "noise again"))
    os.symlink("noise", os.path.join(top, "link"))


class Estimate(MountTest):
    def settled_stats(self):
        """Once the blocks have been compressed, and what was compressed in a hurry, compressed again."""
        figures = []

        def is_settled():
            stats = self.place.control("stats")
            figures.append((stats["hot_bytes"], stats["compr_data_size"]))
            time.sleep(0.4)
            return figures[-1][0] == 0 and len(figures) > 10 and len(set(figures[-10:])) == 1

        self.assertTrue(mounting.wait_until(is_settled), figures)
        self.place.control("shrink", "1G")
        return self.place.control("stats")

    def test_memory_is_what_a_mount_then_takes_within_a_tenth(self):
        if self.is_sanitized:
            self.skipTest("sanitizers have memory of their own")
        tree = os.path.join(self.place.directory, "tree")
        os.mkdir(tree)
        make_tree(tree)
        estimate = self.place.control("estimate", "--all", tree)
        self.mount("size=512M")
        subprocess.run(["cp", "-a", "--sparse=always", tree, self.mountpoint], check=True, timeout=mounting.PATIENCE)
        stats = self.settled_stats()
        self.assertEqual(stats["files"] + stats["directories"] - 1,
                         sum(estimate[key] for key in ("files", "directories", "symbolic_links")))
        memory = estimate["memory"]
        self.assertAlmostEqual(memory["contents"], stats["pool_span_bytes"], delta=stats["pool_span_bytes"] * 0.03)
        self.assertAlmostEqual(memory["total"], stats["mem_used_total"], delta=stats["mem_used_total"] * 0.1)
        self.unmount()

    def test_other_file_systems_are_left_out_unless_they_are_named(self):
        tree = os.path.join(self.place.directory, "tree")
        self.mountpoint = self.place.make_mountpoint("tree/mnt")
        self.mount("size=64M")
        write_file(os.path.join(tree, "outside"), b"x" * 100)
        write_file(os.path.join(self.mountpoint, "inside"), b"x" * 100)
        estimate = self.place.control("estimate", tree)
        self.assertEqual((estimate["files"], estimate["file_systems_left_out"]), (1, 1))
        estimate = self.place.control("estimate", tree, self.mountpoint)
        self.assertEqual((estimate["files"], estimate["bytes"]), (2, 200))
        self.unmount()


class Top(MountTest):
    def start(self):
        command = [os.path.join(self.binaries, "ztmpfsctl"), "--json", "top", "--interval", "0.1", "disk"]
        process = subprocess.Popen(command, env=self.place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def test_it_goes_on_with_the_next_server_and_ends_with_the_mount(self):
        self.mount()
        process = self.start()
        self.assertEqual(json.loads(process.stdout.readline())["server_restarts"], 0)
        os.kill(self.place.control("list")[0]["server_pid"], signal.SIGKILL)
        restarts = 0
        while restarts == 0:
            restarts = json.loads(process.stdout.readline())["server_restarts"]
        write_file(os.path.join(self.mountpoint, "file"), b"x")
        while not json.loads(process.stdout.readline())["requests_per_second"].get("CREATE"):
            pass
        self.unmount()
        _, complaint = process.communicate(timeout=mounting.PATIENCE)
        self.assertEqual((restarts, process.returncode, complaint), (1, 1, "ztmpfsctl: disk has ended\n"))


if __name__ == "__main__":
    mount_case.main(__doc__)
