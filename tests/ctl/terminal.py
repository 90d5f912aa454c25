"""A program on a terminal of its own: what it writes there, what is typed, and how the terminal looks afterwards."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

PATIENCE = 30


class Terminal:
    """Runs the command with a new terminal as its controlling one; it is killed if it does not end by itself."""

    def __init__(self, command, environment, columns=100, rows=30):
        self.output = b""
        self.status = None
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execve(command[0], command, environment)
            finally:
                os._exit(127)

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def local_flags(self):
        return termios.tcgetattr(self.master)[3]

    def read(self):
        """Some more output, or False at its end."""
        if not select.select([self.master], [], [], 0.1)[0]:
            return True
        try:
            part = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            part = b""
        self.output += part
        return bool(part)

    def wait_for(self, condition):
        """Reads until condition(output) is true; False if it never is."""
        deadline = time.monotonic() + PATIENCE
        while not condition(self.output):
            if time.monotonic() > deadline or not self.read():
                return bool(condition(self.output))
        return True

    def finish(self):
        """Exit code of the program, negative for a signal, once it has ended by itself."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None and time.monotonic() < deadline:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
        self.close()
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = "killed: it did not end"
        if self.master >= 0:
            while select.select([self.master], [], [], 0)[0] and self.read():
                pass
            os.close(self.master)
            self.master = -1
