"""Mounts whose server is killed from outside: where they are made, who kills, and what must be left in the end."""

import ctypes
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "mount"))

import mounted  # noqa: E402
import mounting  # noqa: E402

LIBC = ctypes.CDLL(None, use_errno=True)
USER = 65534
# Where a server must be back after its death, whatever sanitizers cost.
RESTART_PATIENCE = 60
MOUNT_AND_RUN = """cd "$1" && ./bin/ztmpfs -o "$2" kills "$1/mnt" || exit 9
echo mounted
eval "$3"
echo "load $?"
read stop
read unmount
if test "$(id -u)" = 0; then umount mnt; else fusermount3 -u mnt; fi
echo "unmounted $?" """
# Devices of their own, because not every machine lets users open /dev/fuse.
AS_USER = f"""mount -t tmpfs none /dev && mknod -m 666 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3 || exit 8
exec setpriv --reuid {USER} --regid {USER} --clear-groups "$@" """
# The ways to the shell that mounts.
WHERES = {
    "root": [],
    "unlocked": ["prlimit", "--memlock=0", "setpriv", "--bounding-set", "-ipc_lock", "--inh-caps", "-ipc_lock"],
    "user": ["unshare", "-m", "sh", "-c", AS_USER, "sh"],
    "namespace": ["unshare", "-m", "--pid", "--fork", "--kill-child", "--mount-proc"],
}


def children_of(pid):
    """Living children of a process without threads, the oldest first."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            pids = [int(word) for word in file.read().split()]
        return [child for child in pids if state_of(child) not in ("Z", "X", "")]
    except OSError:
        return []


def state_of(pid):
    """The letter of proc(5); empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        return f"({error.strerror})\n"


def stacks_of(pid):
    """What each thread of a process does in the kernel."""
    text = ""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            folder = f"/proc/{pid}/task/{thread}"
            text += f"thread {thread} {read_text(folder + '/comm').strip()}, {state_of(thread)}\n"
            text += f"  syscall {read_text(folder + '/syscall')}{read_text(folder + '/stack')}"
    except OSError:
        pass
    return text


def server_of(holder):
    """The server's pid, awaited; None when there is none any more."""
    deadline = time.monotonic() + RESTART_PATIENCE
    while time.monotonic() < deadline and state_of(holder) not in ("Z", "X", ""):
        if pids := children_of(holder):
            return pids[-1]
        time.sleep(0.002)
    return None


def kill_and_await(pid):
    """Kills a server; True if it has died of it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return mounting.wait_until(lambda: state_of(pid) in ("Z", "X", ""), RESTART_PATIENCE)


def forget_names(mountpoint):
    """Lets the kernel forget what it knows of the names of a mount: a remount does so (fs/super.c, reconfigure_super()),
    and bothers no other mount. True if it could."""
    remount, nosuid_nodev = 32, 6
    return LIBC.mount(None, os.fsencode(mountpoint), None, remount | nosuid_nodev, None) == 0


class KilledMount:
    """A mount in a private place with a load on it, both started by a shell in its own surroundings (WHERES)."""

    def __init__(self, binaries, where, options, load, may_drop_caches=True):
        """`load`: a command line of the shell, run in the workplace, that ends when its standard input has a line."""
        self.may_drop_caches = may_drop_caches
        self.place = mounting.Workplace(os.path.realpath(binaries))
        self.where = where
        self.options = options
        self.load = load
        self.shell = None
        self.holder = None
        self.mountpoint = self.place.make_mountpoint("mnt")
        folder = self.place.make_mountpoint("bin")
        os.makedirs(self.place.runtime, exist_ok=True)
        for name in ("ztmpfs", "ztmpfsctl", "kill_load", "differential"):
            source = os.path.join(self.place.binaries, name)
            if os.path.exists(source):  # to where an ordinary user can reach them
                shutil.copy(source, folder)
        if where == "user":
            os.chmod(self.place.directory, 0o755)
            for path in (self.mountpoint, self.place.runtime):
                os.chown(path, USER, USER)

    def start(self):
        """Mounts and starts the load. Raises RuntimeError with what went wrong."""
        command = [*WHERES[self.where], "sh", "-c", MOUNT_AND_RUN, "sh", self.place.directory, self.options, self.load]
        environment = self.place.environment
        with open(os.path.join(self.place.directory, "output"), "wb") as output:
            self.shell = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output,
                                          stderr=subprocess.STDOUT)
        mounting.wait_until(lambda: "mounted\n" in self.output() or self.shell.poll() is not None)
        if self.shell.poll() is not None or "mounted\n" not in self.output():
            raise RuntimeError(f"cannot mount: {self.output()}")
        programs = mounting.processes_of(self.place.directory)
        self.holder = next(pid for pid in programs if "--server=" not in read_text(f"/proc/{pid}/cmdline"))

    def output(self):
        return read_text(os.path.join(self.place.directory, "output"))

    def server(self):
        return server_of(self.holder)

    def is_loaded(self):
        return self.shell.poll() is None and "\nload " not in self.output()

    def stop_load(self, patience):
        """Lets the load compare and remove everything; True if it says that all is well."""
        self.say("stop")
        mounting.wait_until(lambda: not self.is_loaded(), patience)
        return "\nload 0\n" in self.output()

    def say(self, line):
        try:
            self.shell.stdin.write(line.encode() + b"\n")
            self.shell.stdin.flush()
        except OSError:
            pass  # it has ended

    def unmount(self):
        """True if the mount has ended and left nothing."""
        self.say("unmount")
        try:
            self.shell.wait(mounting.PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        return "\nunmounted 0\n" in self.output() and mounting.wait_until(
            lambda: self.place.leftovers()[:2] == ([], []))

    def forget_names(self):
        """Takes from the server all lookup counts but those of open files; where ours is not to be seen, all caches go."""
        if self.where in ("root", "unlocked") and forget_names(self.mountpoint) or not self.may_drop_caches:
            return
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("2")

    def describe_stuck(self):
        server = next(iter(children_of(self.holder)), 0)
        return f"holder {self.holder}:\n{stacks_of(self.holder)}server {server}:\n{stacks_of(server)}"

    def close(self):
        """Ends everything by force."""
        self.place.close()
        if self.shell is not None:
            self.shell.kill()
            self.shell.wait()


class MountedToBeKilled(mounted.Mounted):
    """A mount of root's without a load of its own."""

    holder = None

    def mount(self):
        super().mount()
        self.holder = self.started[-1]

    def kill(self):
        self.started = [*children_of(self.holder), self.holder]
        super().kill()

    def server(self):
        return server_of(self.holder)

    def forget_names(self):
        forget_names(self.mountpoint)

    def is_loaded(self):
        return True


class Killer:
    """Ends the server again and again, while the load runs. `interval` in seconds, (least, most)."""

    def __init__(self, mount, seed, interval):
        self.mount = mount
        self.random = random.Random(seed)
        self.interval = interval
        self.kills = 0

    def run(self, kills):
        """Returns when that many were made, or the load has ended, or no server is left."""
        for _ in range(kills):
            # Counted from its birth: a server that is killed before it serves is started again after a pause only.
            if self.mount.server() is None:
                return
            time.sleep(self.random.uniform(*self.interval))
            if self.random.random() < 0.2:
                self.mount.forget_names()
            pid = self.mount.server()
            if pid is None or not self.mount.is_loaded():
                return
            if self.end(pid):
                self.kills += 1

    def end(self, pid):
        """True if the server has died of it."""
        return kill_and_await(pid)


class Stopper(Killer):
    """Stops the whole server: whoever keeps it alive must notice and start another."""

    def end(self, pid):
        os.kill(pid, signal.SIGSTOP)
        return mounting.wait_until(lambda: state_of(pid) in ("Z", "X", ""), RESTART_PATIENCE)


class DeadlockMaker(Killer):
    """Stops one reader of the server in the midst of a request, with the locks that it holds."""

    # What is stopped in the few instructions between two requests is no hang; so it may take another try.
    TRIES, PATIENCE = 2, 15

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
    WAIT_ALL = 0x40000000  # __WALL

    def end(self, pid):
        return any(self.await_end(pid, thread) for thread in (self.stop_any(pid) for _ in range(self.TRIES)) if thread)

    def stop_any(self, pid):
        deadline = time.monotonic() + RESTART_PATIENCE
        while time.monotonic() < deadline and state_of(pid) not in ("Z", "X", ""):
            for thread in self.readers(pid):
                if self.stop(thread):
                    return thread
            time.sleep(0.001)
        return None

    @staticmethod
    def readers(pid):
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return []
        return [int(thread) for thread in threads
                if read_text(f"/proc/{pid}/task/{thread}/comm").startswith("fuse-reader")]

    def stop(self, thread):
        """True if the thread stands still between two system calls: it serves a request."""
        if "running" not in read_text(f"/proc/{thread}/syscall"):
            return False  # it waits for a request, or for a lock
        if LIBC.ptrace(self.SEIZE, thread, None, None) != 0:
            return False
        LIBC.ptrace(self.INTERRUPT, thread, None, None)
        if not self.wait(thread):
            return False
        if read_text(f"/proc/{thread}/syscall").startswith("-1 "):
            return True
        LIBC.ptrace(self.DETACH, thread, None, None)
        return False

    def wait(self, thread):
        """True if the thread has stopped, False if it has ended."""
        try:
            return os.WIFSTOPPED(os.waitpid(thread, self.WAIT_ALL)[1])
        except ChildProcessError:
            return False

    def await_end(self, pid, thread):
        has_ended = mounting.wait_until(lambda: state_of(pid) in ("Z", "X", ""), self.PATIENCE)
        if has_ended:
            self.wait(thread)
        else:
            LIBC.ptrace(self.DETACH, thread, None, None)
        return has_ended


class PageOut(threading.Thread):
    """Takes the image's pages out of the server's page tables, as often as it can, for a `with` block."""

    PAGEOUT = 21
    PROCESS_MADVISE = 440

    def __init__(self, mount):
        super().__init__(daemon=True)
        self.mount = mount
        self.is_over = threading.Event()
        self.rounds = 0
        self.swapped_max = 0  # KiB

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()

    def run(self):
        while not self.is_over.is_set():
            if pids := children_of(self.mount.holder):
                self.page_out(pids[-1])
            time.sleep(0.002)

    def page_out(self, pid):
        ranges = []
        for line in read_text(f"/proc/{pid}/maps").splitlines():
            if "/memfd:" in line:
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                ranges.append((start, end - start))
        try:
            process = os.pidfd_open(pid)
        except OSError:
            return
        try:
            for start, length in ranges:
                vector = (ctypes.c_size_t * 2)(start, length)
                # Refused for what is locked in memory.
                LIBC.syscall(self.PROCESS_MADVISE, process, vector, ctypes.c_size_t(1), self.PAGEOUT, 0)
            self.rounds += 1
            used = [int(line.split()[3]) for line in read_text("/proc/swaps").splitlines()[1:]]
            self.swapped_max = max(self.swapped_max, sum(used))
        finally:
            os.close(process)
