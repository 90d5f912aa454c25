#!/usr/bin/env python3
"""Memory given back on a real mount: compact, shrink and psi=, asked well and badly.

usage: reclaim_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import contextlib
import http.client
import json
import os
import random
import socket

import mount_case
import mounting
from mount_case import MIB, MountTest, read_file, read_uncached, write_file

SOURCE_KEYS = {"path", "level", "state", "trigger", "reason", "events", "false_events", "seconds_since_event"}
RUN_KEYS = {"cause", "level", "target", "freed", "moved", "milliseconds", "stuck", "shrinkers"}
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=mounting.PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class ReclaimTest(MountTest):
    def fragment(self):
        """Files with random bytes, two of three of them deleted once their blocks were sealed: {path: contents}."""
        rng = random.Random(5)
        files = {os.path.join(self.mountpoint, f"f{number}"): rng.randbytes(rng.randrange(200, 3500))
                 for number in range(3000)}
        for path, data in files.items():
            write_file(path, data)
        self.assertTrue(mounting.wait_until(lambda: self.stats()["hot_bytes"] == 0), "blocks stay hot")
        for path in rng.sample(sorted(files), 2000):
            os.unlink(path)
            del files[path]
        # Without the stock of free spans only compaction has something to give.
        self.assertTrue(mounting.wait_until(lambda: self.stats()["free_span_bytes"] == 0), "the stock stays")
        return files

    def stats(self):
        return self.place.control("stats", "disk")

    def assert_unharmed(self, files):
        for path, data in files.items():
            self.assertEqual(read_uncached(path), data, path)
        self.assertTrue(self.place.control("check", "disk")["ok"])

    def request(self, method, path, body=None):
        """(status, answer) of the control socket."""
        connection = UnixConnection(os.path.join(self.place.runtime, "disk.sock"))
        with contextlib.closing(connection):
            with contextlib.suppress(BrokenPipeError):  # a body too long is refused before it has arrived
                connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())


class Compact(ReclaimTest):
    def test_compact_frees_what_was_counted_and_no_more(self):
        self.mount()
        files = self.fragment()
        before = self.stats()
        self.assertGreater(before["compact_freeable_bytes"], MIB)
        answer = self.place.control("compact", "disk")
        self.assertEqual(answer["bytes_freed"], before["compact_freeable_bytes"])
        self.assertEqual(answer["pages_freed"] * 4096, answer["bytes_freed"])
        self.assertGreater(answer["bytes_moved"], 0)
        self.assertFalse(answer["stuck"])
        after = self.stats()
        self.assertEqual((after["compact_freeable_bytes"], after["pages_compacted"]), (0, answer["pages_freed"]))
        self.assertEqual(before["pool_span_bytes"] - after["pool_span_bytes"], answer["bytes_freed"])
        again = self.place.control("compact", "disk")
        self.assertEqual((again["pages_freed"], again["bytes_moved"], again["stuck"]), (0, 0, False))
        self.assert_unharmed(files)
        self.unmount()

    def test_compact_tells_people_how_much(self):
        self.mount()
        result = self.place.run("ztmpfsctl", "compact", "disk")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout, "disk: 0 B freed (0 pages), 0 B moved\n")
        self.unmount()


class Shrink(ReclaimTest):
    def test_shrink_frees_about_what_was_asked_for(self):
        self.mount()
        files = self.fragment()
        before = self.stats()
        report = self.place.control("shrink", "disk", "1M")
        self.assertLessEqual(RUN_KEYS, set(report))
        self.assertEqual((report["cause"], report["target"], report["stuck"]), ("manual", MIB, False))
        self.assertGreaterEqual(report["freed"], MIB)
        self.assertEqual(report["freed"], sum(part["freed"] for part in report["shrinkers"]))
        self.assertLess(report["freed"], before["compact_freeable_bytes"])
        self.assertGreater(self.stats()["compact_freeable_bytes"], 0)
        self.assertEqual(self.stats()["reclaim"]["last"], report)
        self.assert_unharmed(files)
        self.unmount()

    def test_shrink_by_more_than_there_is_says_so(self):
        self.mount()
        files = self.fragment()
        result = self.place.run("ztmpfsctl", "shrink", "disk", "100G")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Adisk: \S+ \S+ freed of 100\.0 GiB: there is no more to free\n")
        self.assertIn("compaction: ", result.stdout)
        self.assertEqual(self.stats()["compact_freeable_bytes"], 0)
        self.assertLess(self.place.control("shrink", "disk", "100G")["freed"], MIB)
        self.assert_unharmed(files)
        self.unmount()

    def test_nonsense_is_refused_by_ztmpfsctl(self):
        self.mount()
        for size in ("0", "-1", "garbage", "1X", "1MM", "5%", "nan", "inf", "0x10", "99999999999999999999T", "", "1 M"):
            # Behind "--", so that "-1" is no option.
            result = self.place.run("ztmpfsctl", "--", "shrink", "disk", size)
            self.assertEqual((result.returncode, result.stdout), (2, ""), size)
            self.assertEqual(result.stderr, f"ztmpfsctl: shrink: BYTES is '{size}', but must be a size such as 64M\n")
        self.assertEqual(self.place.run("ztmpfsctl", "shrink").returncode, 2)
        self.assertEqual(self.stats()["reclaim"]["runs"], 0)
        self.unmount()


class ControlSocket(ReclaimTest):
    def test_bad_bodies_of_shrink_are_refused_with_a_reason(self):
        self.mount()
        files = self.fragment()
        server = self.place.control("list")[0]["server_pid"]
        bodies = [b"", b"{", b"[]", b"{}", b"1", b"null", b"garbage", b"\0\xff\xfe", b"[" * 1000, b'{"bytes":null}',
                  b'{"bytes":0}', b'{"bytes":-1}', b'{"bytes":1.5}', b'{"bytes":"1M"}', b'{"bytes":1e30}',
                  b'{"bytes":18446744073709551616}', b'{"bytes":true}', b'{"bytes":[1]}', b'{"Bytes":1}',
                  b'{"bytes":1}x']
        for body in bodies:
            status, answer = self.request("POST", "/v1/shrink", body)
            self.assertEqual(status, 400, body)
            self.assertIn("shrink", answer["error"], body)
        self.assertEqual(self.request("POST", "/v1/shrink", b" " * 65537)[0], 413)
        self.assertEqual(self.request("GET", "/v1/shrink")[0], 405)
        self.assertEqual(self.request("GET", "/v1/compact")[0], 405)
        self.assertEqual(self.stats()["reclaim"]["runs"], 0)
        self.assertEqual(self.place.control("list")[0]["server_pid"], server)
        self.assert_unharmed(files)
        self.unmount()

    def test_largest_number_is_a_target_like_any_other(self):
        self.mount()
        files = self.fragment()
        status, report = self.request("POST", "/v1/shrink", b'{"bytes":18446744073709551615}')
        self.assertEqual((status, report["stuck"]), (200, False))
        self.assertGreater(report["freed"], MIB)
        self.assert_unharmed(files)
        self.unmount()

    def test_compact_needs_no_body_and_minds_none(self):
        self.mount()
        for body in (None, b"garbage"):
            status, answer = self.request("POST", "/v1/compact", body)
            self.assertEqual((status, answer["pages_freed"]), (200, 0))
        self.unmount()

    def test_stats_have_the_keys_of_psi_and_reclaim(self):
        self.mount()
        stats = self.stats()
        self.assertLessEqual({"events", "last_event", "sources"}, set(stats["psi"]))
        for source in stats["psi"]["sources"]:
            self.assertLessEqual(SOURCE_KEYS, set(source))
            self.assertIn(source["level"], ("some", "full"))
        self.assertLessEqual({"runs", "stuck_runs", "backed_off", "freed", "last"}, set(stats["reclaim"]))
        self.place.control("shrink", "disk", "1M")
        self.assertEqual(self.stats()["reclaim"]["runs"], 1)
        self.assertLessEqual(RUN_KEYS, set(self.stats()["reclaim"]["last"]))
        self.unmount()


class PsiRefusals(MountTest):
    def refused(self, value):
        """One sentence on stderr that names the option, exit code 2; returns the sentence."""
        result = self.place.run("ztmpfs", "-o", f"size=64M,psi={value}", "disk", self.mountpoint)
        self.assertEqual((result.returncode, result.stdout), (2, ""), value)
        self.assertRegex(result.stderr, r"\Aztmpfs: [^\n]+\n\Z")
        self.assertIn(f"'psi={value}'", result.stderr)
        return result.stderr

    def test_malformed_triggers_are_refused(self):
        values = ("", "on", "some", "some:", "some:100ms", "some:100ms/", "some:/1s", "some:0ms/1s", "some:-1ms/1s",
                  "some:2s/1s", "some:100ms/20s", "some:100ms/100ms", "some:100/1000", "many:100ms/1s",
                  "some:100ms/1s+", "some:100ms/1s+some:50ms/1s", "some:100ms/1s+off", "some 100000 1000000",
                  "proc/pressure/memory", "99999999999999999999s/1s")
        for value in values:
            self.refused(value)
        self.assert_clean()

    def test_paths_that_tell_of_no_pressure_are_refused_and_left_alone(self):
        path = os.path.join(self.place.directory, "file")
        write_file(path, b"precious\n")
        self.assertIn("pressure file", self.refused(path))
        self.assertEqual(read_file(path), b"precious\n")
        self.assertIn("No such file", self.refused(path + ".missing"))
        for other in (self.place.directory, "/dev/null", "/proc/meminfo"):
            self.assertIn("pressure file", self.refused(other))
        self.assert_clean()


class PsiSources(ReclaimTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.place.directory, "source")

    def mount_with_source(self):
        self.mount(f"size=256M,psi={self.path}")
        self.server = self.place.control("list")[0]["server_pid"]

    def source(self):
        source, = self.stats()["psi"]["sources"]
        self.assertEqual(source["path"], self.path)
        return source

    def await_state(self, state):
        self.assertTrue(mounting.wait_until(
            lambda: all(source["state"] == state for source in self.stats()["psi"]["sources"])), self.stats()["psi"])

    def await_event(self):
        self.assertTrue(mounting.wait_until(lambda: self.source()["events"] > 0), self.stats()["psi"])
        psi = self.stats()["psi"]
        self.assertEqual((psi["last_event"]["path"], psi["last_event"]["level"]), (self.path, "some"))

    def assert_served(self):
        path = os.path.join(self.mountpoint, "served")
        write_file(path, b"x" * 10_000)
        self.assertEqual(read_uncached(path), b"x" * 10_000)
        self.assertEqual(self.place.control("list")[0]["server_pid"], self.server)
        self.unmount()
        self.assert_clean()

    def write_to_fifo(self):
        fifo = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fifo, b"!")
        os.close(fifo)

    def test_off_watches_nothing(self):
        self.mount("size=64M,psi=off")
        self.assertEqual(self.stats()["psi"], {"events": 0, "last_event": None, "sources": []})
        self.unmount()

    def test_event_has_memory_given_back(self):
        os.mkfifo(self.path)
        self.mount_with_source()
        files = self.fragment()
        freeable = self.stats()["compact_freeable_bytes"]
        self.assertEqual(self.stats()["reclaim"]["runs"], 0)
        self.write_to_fifo()
        self.assertTrue(mounting.wait_until(lambda: self.stats()["reclaim"]["runs"] > 0))
        self.await_event()
        stats = self.stats()
        self.assertEqual((stats["reclaim"]["last"]["cause"], stats["reclaim"]["last"]["level"]), ("pressure", "some"))
        self.assertEqual(stats["reclaim"]["freed"]["compaction"], freeable)
        self.assertEqual(stats["compact_freeable_bytes"], 0)
        self.assert_unharmed(files)
        self.assert_served()

    def test_fifo_that_goes_away_is_lost_and_heard_again_when_it_is_back(self):
        os.mkfifo(self.path)
        self.mount_with_source()
        self.assertEqual(self.source()["state"], "trigger")
        os.unlink(self.path)
        self.await_state("lost")
        self.assertNotEqual(self.source()["reason"], "")
        os.mkfifo(self.path)
        self.await_state("trigger")
        self.assertEqual(self.source()["events"], 0)
        self.write_to_fifo()
        self.await_event()
        self.assert_served()

    def test_file_in_the_place_of_a_fifo_is_left_alone(self):
        os.mkfifo(self.path)
        self.mount_with_source()
        os.unlink(self.path)
        write_file(self.path, b"precious\n")
        self.await_state("lost")
        self.assertEqual(read_file(self.path), b"precious\n")
        self.assert_served()

    def test_socket_whose_other_end_hangs_up_is_connected_to_again(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen()
            listener.settimeout(mounting.PATIENCE)
            self.mount_with_source()
            peer, _ = listener.accept()
            self.assertEqual(self.source()["state"], "trigger")
            peer.close()
            peer, _ = listener.accept()
            self.await_state("trigger")
            with peer:
                peer.send(b"!")
                self.await_event()
        self.await_state("lost")  # nobody listens any more
        self.assert_served()

    def test_file_without_triggers_is_polled_lost_and_polled_again(self):
        write_file(self.path, PRESSURE.encode())
        self.mount_with_source()
        self.assertEqual([source["level"] for source in self.stats()["psi"]["sources"]], ["some", "full"])
        self.await_state("polling")
        os.truncate(self.path, 0)
        self.await_state("lost")
        write_file(self.path, PRESSURE.replace("some avg10=0.00", "some avg10=50.00").encode())
        self.await_state("polling")
        self.assertTrue(mounting.wait_until(lambda: self.stats()["psi"]["events"] > 0))
        self.assertEqual(self.stats()["psi"]["last_event"]["level"], "some")
        self.assert_served()


if __name__ == "__main__":
    mount_case.main(__doc__)
