"""A service manager as far as ztmpfs can tell: listens on NOTIFY_SOCKET, keeps descriptors, hands them to the next start."""

import array
import contextlib
import os
import socket
import subprocess
import threading
import time

import mounting

# The shell becomes the program, so its number is the program's; it moves the descriptors to where systemd has them.
START = """
descriptors=$1; shift
number=3
for fd in $descriptors; do eval "exec $number<&$fd $fd<&-"; number=$((number + 1)); done
[ "$LISTEN_FDS" = 0 ] || export LISTEN_PID=$$
[ -z "$WATCHDOG_USEC" ] || export WATCHDOG_PID=$$
export SYSTEMD_EXEC_PID=$$
exec "$@"
"""
FIRST_KEPT = 100  # the shell moves them to lower numbers


def fields_of(message):
    """{"READY": "1", ...}"""
    return dict(line.split("=", 1) for line in message.split("\n") if line)


class FakeSystemd:
    """One service; its methods are for one thread, another one receives messages."""

    def __init__(self, place, room=8, watchdog=None):
        self.place = place
        self.path = os.path.join(place.directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.environment = dict(place.environment, NOTIFY_SOCKET=self.path, FDSTORE=str(room))
        if watchdog is not None:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog * 1000000))
        self.lock = threading.Lock()
        self.kept = {}  # name: descriptor
        self.messages = []
        self.process = None
        self.receiver = threading.Thread(target=self._receive, daemon=True)
        self.receiver.start()

    def _receive(self):
        while True:
            size = array.array("i").itemsize
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
            descriptors = array.array("i")
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(data)
            self._take(fields_of(text.decode()), list(descriptors))

    def _take(self, fields, descriptors):
        with self.lock:
            name = fields.get("FDNAME")
            if "FDSTOREREMOVE" in fields and name in self.kept:
                os.close(self.kept.pop(name))
            if "FDSTORE" in fields:
                # A second one of this name would be kept too, and refused at the next start.
                self.kept[name if name not in self.kept else name + " again"] = descriptors.pop()
            for fd in descriptors:
                os.close(fd)
            self.messages.append(fields)

    def start(self, *arguments):
        """Starts ztmpfs with what is kept; returns at once."""
        with self.lock:
            self.messages.clear()
            names = list(self.kept)
            handed = [mounting.duplicate(self.kept[name], FIRST_KEPT) for name in names]
        environment = dict(self.environment, LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
        program = os.path.join(self.place.binaries, "ztmpfs")
        command = ["bash", "-c", START, "start", " ".join(map(str, handed)), program, *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, pass_fds=handed)
        for fd in handed:
            os.close(fd)
        return self.process

    @contextlib.contextmanager
    def too_busy(self):
        """Its socket is full; do not ask it anything meanwhile."""
        with self.lock, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for _ in range(2):  # the receiver takes one more before it waits for the lock
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sender.sendto(b"X_FULL=1", self.path)
                time.sleep(0.1)
            yield

    def said(self, key, value=None):
        """Whether a message of the last start has the field."""
        with self.lock:
            return any(fields.get(key) is not None and value in (None, fields[key]) for fields in self.messages)

    def count(self, key):
        with self.lock:
            return sum(key in fields for fields in self.messages)

    def main_pid(self):
        with self.lock:
            return next((int(fields["MAINPID"]) for fields in self.messages if "MAINPID" in fields), None)

    def names(self):
        with self.lock:
            return sorted(self.kept)

    def wait_until_ready(self):
        return mounting.wait_until(lambda: self.process.poll() is not None or self.said("READY", "1")) and \
            self.process.poll() is None

    def drop(self, name):
        """Forgets one of the descriptors, if ztmpfs has not told so meanwhile."""
        with self.lock:
            if name in self.kept:
                os.close(self.kept.pop(name))

    def close(self):
        """Forgets all, as after a stop."""
        for name in self.names():
            self.drop(name)
