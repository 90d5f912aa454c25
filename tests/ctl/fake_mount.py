"""What ztmpfsctl meets behind a control socket, without a mount: answers that a test can change, and its own end."""

import copy
import json
import os
import socket
import threading

STATS = {
    "name": "fake", "mountpoint": "/mnt/fake", "uptime_seconds": 10, "server_restarts": 0, "oom_kills": 0,
    "orig_data_size": 3 << 20, "compr_data_size": 1 << 20, "mem_used_total": 2 << 20, "mem_limit": 64 << 20,
    "mem_used_max": 3 << 20, "same_pages": 1, "huge_pages": 2, "pages_compacted": 0, "files": 3, "directories": 1,
    "hot_bytes": 0, "hot_limit": 8 << 20, "reserved_bytes": 0, "metadata_bytes": 8192, "pool_payload_bytes": 1 << 20,
    "pool_span_bytes": 1 << 20, "free_span_bytes": 0, "compact_freeable_bytes": 0, "checksum_failures": 0,
    "write_back_failures": 0, "forgets": 0, "requests": {"LOOKUP": 100},
    "psi": {"events": 0, "last_event": None, "sources": []},
    "reclaim": {"runs": 0, "stuck_runs": 0, "backed_off": 0, "freed": {}, "last": None},
    "classes": [{"object_size": 64, "pages_per_span": 1, "objects_per_span": 64, "objects_allocated": 64,
                 "objects_used": 32, "pages_used": 1, "pages_freeable": 0}],
}


class FakeMount:
    """Answers on `directory`/`name`.sock until close(). Each answer of stats has 40 LOOKUPs more than the one before."""

    def __init__(self, directory, name="fake"):
        self.path = os.path.join(directory, name + ".sock")
        self.stats = copy.deepcopy(STATS)
        self.stats["name"] = name
        self.info = {"name": name, "mountpoint": "/mnt/fake", "server_pid": 11, "holder_pid": 10}
        self.answers = True
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        self.socket.listen(8)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    part = connection.recv(4096)
                    if not part:
                        break
                    request += part
                if self.answers or b"/v1/info" in request:
                    connection.sendall(self.answer(request))

    def answer(self, request):
        if b"/v1/info" in request:
            body = json.dumps(self.info)
        else:
            self.stats["requests"]["LOOKUP"] += 40
            body = json.dumps(self.stats)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return (head + "Connection: close\r\n\r\n" + body).encode()

    def close(self):
        if self.socket.fileno() < 0:
            return
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.socket.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
