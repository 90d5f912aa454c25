#!/usr/bin/env python3
"""The control socket and the holder's socket of a mount, and clients that mean no good: nothing is harmed or half done.

usage: control_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import os
import random
import socket
import stat
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

import mount_case  # noqa: E402
import mounting  # noqa: E402
from mount_case import MountTest, read_file, write_file  # noqa: E402

STRANGER = 65534
SEEDS = 60
GET_STATS = b"GET /v1/stats HTTP/1.1\r\n"
# What each must be answered with.
WRONG = [
    (b"nonsense\r\n\r\n", b"400"),
    (b"GET /v1/stats HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
    (b"GET /v2/stats HTTP/1.1\r\n\r\n", b"404"),
    (b"DELETE /v1/stats HTTP/1.1\r\n\r\n", b"405"),
    (b"POST /v1/set HTTP/1.1\r\nContent-Length: 70000\r\n\r\n", b"413"),
    (GET_STATS + b"X: " + b"x" * 9000 + b"\r\n\r\n", b"431"),
]
WRONG_SETTINGS = ["", "[]", "{}", '{"size":', '{"size":true}', '{"size":"1K"}', '{"size":"-1"}', '{"size":"9999T"}',
                  '{"size":"128M","hot":"x"}', '{"size":"128M","block":"4K"}', '{"psi":"/nowhere"}', '{"color":"red"}',
                  '{"size":"128M","psi":"full:1ms/0s"}']


class Control(MountTest):
    def setUp(self):
        super().setUp()
        self.mount()
        write_file(os.path.join(self.mountpoint, "file"), b"kept")
        self.server, self.holder = (self.place.control("list")[0][key] for key in ("server_pid", "holder_pid"))
        self.before = self.settings()
        self.descriptors = self.count_descriptors()

    def tearDown(self):
        """Whatever happened: the same processes serve, with the same settings, and hold nothing for anybody."""
        if not os.path.exists(self.socket_path("sock")):
            return  # the test has failed before
        listed = self.place.control("list")[0]
        self.assertEqual((listed["server_pid"], listed["holder_pid"]), (self.server, self.holder))
        self.assertEqual(self.settings(), self.before)
        self.assertEqual(read_file(os.path.join(self.mountpoint, "file")), b"kept")
        self.assertTrue(mounting.wait_until(lambda: all(now <= before for now, before in
                                                        zip(self.count_descriptors(), self.descriptors))),
                        (self.count_descriptors(), self.descriptors))
        self.unmount()
        self.assert_clean()

    def socket_path(self, kind):
        return os.path.join(self.place.runtime, f"disk.{kind}")

    def settings(self):
        stats = self.place.control("stats")
        return stats["mem_limit"], stats["hot_limit"], [source["trigger"] for source in stats["psi"]["sources"]]

    def count_descriptors(self):
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.server, self.holder)]

    def connect(self, kind="sock"):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == "holder" else socket.SOCK_STREAM)
        client.settimeout(mounting.PATIENCE)
        client.connect(self.socket_path(kind))
        self.addCleanup(client.close)
        return client

    def ask(self, request):
        """All that is answered before the server hangs up; it must do so after what is no request."""
        with self.connect() as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := client.recv(1 << 16):
                answer += chunk
        return answer

    def test_requests_that_are_wrong_get_one_clear_answer(self):
        for request, status in WRONG:
            with self.subTest(request=request[:60]):
                answer = self.ask(request)
                self.assertTrue(answer.startswith(b"HTTP/1.1 " + status), answer)
                self.assertEqual(answer.count(b'{"error":'), 1)

    def test_settings_that_are_wrong_change_nothing(self):
        for body in WRONG_SETTINGS:
            with self.subTest(body=body):
                answer = self.ask(f"POST /v1/set HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                self.assertTrue(answer.startswith(b"HTTP/1.1 400"), answer)
                self.assertEqual(self.settings(), self.before)

    def test_request_that_is_cut_off_is_not_executed(self):
        request = b'POST /v1/set HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"size":"128M"}'
        for length in range(len(request)):
            self.assertNotIn(b"HTTP/1.1 200", self.ask(request[:length]))
        self.assertEqual(self.settings(), self.before)

    def test_slow_clients_hold_up_nobody(self):
        clients = [self.connect() for _ in range(20)]
        for byte in GET_STATS:
            for client in clients:
                client.send(bytes([byte]))
            self.place.control("stats")
        for client in clients:
            client.sendall(b"\r\n")
            self.assertTrue(client.recv(1 << 16).startswith(b"HTTP/1.1 200"))
            client.close()

    def test_client_that_reads_nothing_harms_nobody(self):
        client = self.connect()
        client.settimeout(0.5)
        try:
            for _ in range(10_000):
                client.sendall(GET_STATS + b"\r\n")
        except TimeoutError:
            pass
        self.place.control("stats")
        client.close()

    def test_other_users_get_no_connection(self):
        for kind in ("sock", "holder"):
            self.assertEqual(stat.S_IMODE(os.stat(self.socket_path(kind)).st_mode), 0o600)
        os.chmod(self.place.directory, 0o755)
        os.chmod(self.place.runtime, 0o755)
        code = "import socket, sys; socket.socket(socket.AF_UNIX, int(sys.argv[1])).connect(sys.argv[2])"
        for kind, number in (("sock", socket.SOCK_STREAM), ("holder", socket.SOCK_SEQPACKET)):
            result = subprocess.run([sys.executable, "-c", code, str(int(number)), self.socket_path(kind)], user=STRANGER,
                                    group=STRANGER, extra_groups=[], capture_output=True, text=True, check=False)
            self.assertIn("PermissionError", result.stderr)

    def test_noise_on_both_sockets(self):
        for seed in range(SEEDS):
            noise = random.Random(seed)
            with self.connect() as client:
                client.sendall(noise.choice([b"", GET_STATS, b"POST /v1/set HTTP/1.1\r\n"]) + noise.randbytes(noise.randrange(5000)))
            with self.connect("holder") as client:
                # Not 'G', 'U' and the like alone: those are orders, which this user may give.
                message = b"\xff" + noise.randbytes(noise.randrange(2000))
                descriptors = [0] * noise.randrange(4)
                socket.send_fds(client, [message], descriptors)
        time.sleep(0.1)
        self.place.control("stats")


if __name__ == "__main__":
    mount_case.main(__doc__)
