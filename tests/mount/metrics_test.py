#!/usr/bin/env python3
"""Metrics of real mounts, as root: what GET /metrics and ztmpfsctl metrics tell is what stats tells.

usage: metrics_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess

import mount_case
import mounting
from mount_case import MIB, MountTest, read_uncached, write_file

SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples_of(text):
    """{(name, ((label, value), ...)): value} without the label `mount`."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.fullmatch(line).groups()
            found[name, tuple(label for label in LABEL.findall(labels) if label[0] != "mount")] = float(value)
    return found


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=mounting.PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Metrics(MountTest):
    def setUp(self):
        super().setUp()
        self.mount()
        self.path = os.path.join(self.mountpoint, "file")
        write_file(self.path, os.urandom(MIB) + bytes(MIB))
        self.assertEqual(len(read_uncached(self.path)), 2 * MIB)

    def metrics(self, *name):
        result = self.place.run("ztmpfsctl", "metrics", *name)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def assert_promtool_is_content(self, text):
        if shutil.which("promtool"):
            result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                    check=False, timeout=mounting.PATIENCE)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_figures_are_those_of_stats(self):
        before = self.place.control("stats")["requests"]
        text = self.metrics("disk")
        stats = self.place.control("stats")
        samples = samples_of(text)
        version = self.place.run("ztmpfsctl", "--version").stdout.split()[1]
        self.assertEqual(samples["ztmpfs_memory_limit_bytes", ()], 256 * MIB)
        self.assertEqual(samples["ztmpfs_contents_bytes", ()], 2 * MIB)
        self.assertEqual(samples["ztmpfs_files", ()], stats["files"])
        self.assertEqual(samples["ztmpfs_mount_info", (("mountpoint", self.mountpoint), ("version", version))], 1)
        for opcode, count in before.items():
            answered = samples["ztmpfs_requests_total", (("opcode", opcode),)]
            self.assertTrue(count <= answered <= stats["requests"][opcode], opcode)
        self.assertGreaterEqual(before["WRITE"], 2)
        self.assertEqual(samples["ztmpfs_request_duration_seconds_count", (("opcode", "WRITE"),)], before["WRITE"])
        latency = stats["latency"]["WRITE"]
        self.assertGreater(latency["sum_seconds"], 0)
        self.assertLessEqual(latency["p50_seconds"], latency["p99_seconds"])
        self.assert_promtool_is_content(text)
        self.unmount()

    def test_answer_has_the_type_that_prometheus_asks_for(self):
        connection = UnixConnection(os.path.join(self.place.runtime, "disk.sock"))
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.getheader("Content-Type")),
                         (200, "text/plain; version=0.0.4; charset=utf-8"))
        self.assertEqual(samples_of(answer.read().decode())["ztmpfs_directories", ()], 1)
        connection.request("POST", "/metrics")
        self.assertEqual(connection.getresponse().status, 405)
        self.unmount()

    def test_counts_of_requests_outlive_a_server_and_latencies_do_not(self):
        before = samples_of(self.metrics())
        os.kill(self.place.control("list")[0]["server_pid"], signal.SIGKILL)
        self.assertEqual(len(read_uncached(self.path)), 2 * MIB)
        after = samples_of(self.metrics())
        write = (("opcode", "WRITE"),)
        self.assertGreater(before["ztmpfs_request_duration_seconds_count", write], 0)
        self.assertEqual(after["ztmpfs_requests_total", write], before["ztmpfs_requests_total", write])
        self.assertNotIn(("ztmpfs_request_duration_seconds_count", write), after)
        self.assertEqual(after["ztmpfs_server_restarts_total", ()], 1)
        self.unmount()

    def test_mounts_of_all_names_are_one_text(self):
        other = self.place.make_mountpoint("other")
        self.assertEqual(self.place.run("ztmpfs", "-o", "size=64M", "other", other).returncode, 0)
        text = self.metrics()
        self.assertEqual(re.findall(r'ztmpfs_memory_limit_bytes\{mount="(\w+)"\}', text), ["disk", "other"])
        self.assertEqual(text.count("# TYPE ztmpfs_memory_limit_bytes gauge\n"), 1)
        self.assert_promtool_is_content(text)
        self.mountpoint, first = other, self.mountpoint
        self.unmount()
        self.mountpoint = first
        self.unmount()


if __name__ == "__main__":
    mount_case.main(__doc__)
