#!/usr/bin/env python3
"""`ztmpfs run` on the real kernel: exit status, signals, environment, and that nothing is left whatever is killed.

usage: run_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import contextlib
import ctypes
import errno
import os
import pty
import random
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, MountTest, write_file
from users_test import UserTest, missing_programs

SUMMARY = re.compile(r"^ztmpfs run: \d+\.\d s, at most (.+) of data in (.+) of memory \(ratio \d+\.\d\d\)\n$")


def processes_with(variable, value):
    """Pids of the processes in whose environment the variable has the value."""
    wanted = os.fsencode(f"{variable}={value}")
    pids = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    pids.append(int(entry))
        except OSError:
            continue
    return pids


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class RunTest(MountTest):
    options = "size=64M"

    def command(self, *arguments):
        return [os.path.join(self.binaries, "ztmpfs"), "run", "-o", self.options, *arguments]

    def run_it(self, *arguments, **keywords):
        """A run to its end."""
        return subprocess.run(self.command(*arguments), env=self.place.environment, capture_output=True, text=True,
                              timeout=mounting.PATIENCE, check=False, **keywords)

    def shell(self, script, *options, **keywords):
        return self.run_it("-q", *options, "sh", "-c", script, **keywords)

    def start_it(self, *arguments, **keywords):
        process = subprocess.Popen(self.command("-q", *arguments), env=self.place.environment, text=True, **keywords)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_shell(self, script, **keywords):
        """A run of the script, which says `ready` when it is to go on; the process, and the lines until then."""
        process = self.start_it("sh", "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        lines = []
        while (line := process.stdout.readline()) not in ("ready\n", ""):
            lines.append(line.rstrip())
        return process, lines

    def end_of(self, process):
        """Exit code, and what it has said after `ready`."""
        out, errors = process.stdout.read(), process.stderr.read()
        return process.wait(mounting.PATIENCE), out, errors

    def leftovers(self):
        files = os.listdir(self.place.runtime) if os.path.isdir(self.place.runtime) else []
        pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
        return (mounting.mounts_below(self.place.directory), [(pid, name_of(pid)) for pid in pids], files)

    def assert_nothing_left(self):
        self.assertTrue(mounting.wait_until(lambda: self.leftovers() == ([], [], [])), self.leftovers())

    def process_named(self, name):
        """The pid of the run's process of that name."""
        pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
        return next(pid for pid in pids if name_of(pid) == name)

    def server(self):
        return self.place.control("list")[0]["server_pid"]

    def holder(self):
        return self.place.control("list")[0]["holder_pid"]


class ExitStatus(RunTest):
    def tearDown(self):
        self.assert_nothing_left()

    def test_exit_status_is_that_of_the_command(self):
        for status in (0, 1, 2, 77, 125, 255):
            self.assertEqual(self.shell(f"exit {status}").returncode, status)

    def test_run_dies_of_the_signal_that_has_killed_the_command(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGINT):
            self.assertEqual(self.shell(f"kill -{int(number)} $$").returncode, -number)

    def test_first_process_of_a_container_exits_with_128_and_the_signal(self):
        for script, status in (("kill -9 $$", 137), ("kill $$", 143), ("(setsid sleep 100 &); exit 5", 5)):
            result = subprocess.run(["unshare", "-m", "--pid", "--fork", "--mount-proc", *self.command("-q", "sh", "-c", script)],
                                    env=self.place.environment, check=False, timeout=mounting.PATIENCE)
            self.assertEqual(result.returncode, status)

    def test_command_that_cannot_be_run(self):
        plain = os.path.join(self.place.directory, "plain")
        write_file(plain, b"no program")
        for command, status in (("no-such-command", 127), ("./no-such-file", 127), (plain, 126), ("/", 126)):
            result = self.run_it("-q", command)
            self.assertEqual(result.returncode, status, command)
            self.assertRegex(result.stderr, rf"^ztmpfs run: cannot run {re.escape(command)}: .+\n$")

    def test_wrong_usage_is_125_and_makes_nothing(self):
        for arguments, culprit in ((["--frobnicate", "true"], "--frobnicate"), (["-x", "true"], "-x"), ([], "command"),
                                   (["--"], "command"), (["-o"], "-o"), (["-o", "frobnicate", "true"], "frobnicate"),
                                   (["-o", "size=1", "true"], "size"), (["-o", "keep", "true"], "keep"),
                                   (["-o", "ro", "true"], "'ro'"), (["-o", "remount", "true"], "remount"),
                                   (["--copy-in"], "--copy-in"), (["--copy-in", "/", "--copy-in", "/", "true"], "once"),
                                   (["--copy-out", "/abs", "true"], "/abs"), (["--copy-out", "a/../..", "true"], "a/../.."),
                                   (["--copy-out", "a:", "true"], "a:")):
            result = self.run_it(*arguments)
            self.assertEqual((result.returncode, result.stdout), (125, ""), arguments)
            self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{re.escape(culprit)}[^\n]*\n$")

    def test_failure_to_mount_is_125_with_one_sentence(self):
        write_file(self.place.runtime, b"in the way")
        result = self.run_it("true")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{re.escape(self.place.runtime)}[^\n]*\n$")
        os.unlink(self.place.runtime)

    def test_options_end_at_the_command(self):
        result = self.run_it("-q", "echo", "-q", "--help", "-o", "--")
        self.assertEqual((result.returncode, result.stdout), (0, "-q --help -o --\n"))
        self.assertEqual(self.run_it("-q", "--", "echo", "--", "-x").stdout, "-- -x\n")

    def test_help_goes_to_stdout(self):
        result = self.run_it("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("--copy-in", "--copy-out", "--copy-out-always", "--replace", "--quiet", "TMPDIR", "125"):
            self.assertIn(word, result.stdout)

    def test_figures_come_last_and_are_true(self):
        result = self.run_it("sh", "-c", "head -c 20M /dev/zero > a; rm a; echo over >&2; exit 4")
        self.assertEqual(result.returncode, 4)
        over, _, summary = result.stderr.partition("\n")
        self.assertEqual(over, "over")
        self.assertEqual(SUMMARY.match(summary)[1], "20.0 MiB")


class Surroundings(RunTest):
    def tearDown(self):
        self.assert_nothing_left()

    def test_command_works_in_the_mount(self):
        result = self.shell("pwd -P; echo $TMPDIR; echo $ZTMPFS_MOUNT; ls -A . $TMPDIR; stat -c %a . $TMPDIR $ZTMPFS_MOUNT/..;"
                            "findmnt -n -o FSTYPE,SIZE -T .")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        work, temporary, mountpoint, *rest = result.stdout.splitlines()
        self.assertRegex(mountpoint, rf"^{re.escape(os.path.realpath(self.place.runtime))}/run-\d+-\w+/mnt$")
        self.assertEqual((work, temporary), (mountpoint + "/work", mountpoint + "/tmp"))
        self.assertEqual(rest, [".:", "", f"{temporary}:", "777", "1777", "700", "fuse.ztmpfs  64M"])

    def test_strangers_may_look_but_not_change_anything(self):
        os.chmod(self.place.directory, 0o755)
        script = ("echo mine > file; setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "
                  "'cat file; rm -f file; echo theirs > file; echo theirs > other; touch $TMPDIR/their' 2>/dev/null; "
                  "cat file; ls -A . $TMPDIR")
        result = self.run_it("-q", "-o", "allow_other", "sh", "-c", f"umask 022; {script}")
        lines = result.stdout.splitlines()
        self.assertEqual((lines[:2], "other" in lines, "their" in lines), (["mine", "mine"], False, True), result.stdout)

    def test_environment_is_otherwise_untouched(self):
        before = dict(self.place.environment, NOTIFY_SOCKET="/nowhere", ODD="a=b\nc")
        result = subprocess.run(self.command("-q", "env", "-0"), env=before, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        after = dict(entry.split("=", 1) for entry in result.stdout.split("\0")[:-1])
        self.assertEqual({key for key in before | after if before.get(key) != after.get(key)}, {"TMPDIR", "ZTMPFS_MOUNT"})

    def test_descriptors_and_standard_streams_go_through(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        result = self.run_it("-q", "sh", "-c", f"cat; echo other >&2; echo third > /proc/self/fd/{writer}; ls -l /proc/self/fd | wc -l",
                             input="hello\n", pass_fds=[writer])
        os.close(writer)
        self.assertEqual((result.stdout.splitlines()[0], result.stderr), ("hello", "other\n"))
        self.assertEqual(os.read(reader, 100), b"third\n")
        # total, 0, 1, 2, the pipe, and the directory that ls reads
        self.assertEqual(result.stdout.splitlines()[1], "6")

    def test_signals_stand_as_before(self):
        def statuses(prefix):
            result = subprocess.run(["sh", "-c", f'trap "" HUP; exec {prefix} grep "^Sig[BIC]" /proc/self/status'],
                                    env=self.place.environment, capture_output=True, text=True, check=False,
                                    timeout=mounting.PATIENCE)
            return result.stdout
        self.assertEqual(statuses(f"{self.binaries}/ztmpfs run -q"), statuses(""))

    def test_five_at_once_do_not_meet(self):
        processes = [self.start_it("sh", "-c", "pwd > name; sleep 0.3; test $(pwd) = $(cat name) && ls && pwd",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(5)]
        ends = [process.communicate(timeout=mounting.PATIENCE) for process in processes]
        self.assertEqual([(process.returncode, end[1]) for process, end in zip(processes, ends)], [(0, "")] * 5)
        outputs = [end[0].splitlines() for end in ends]
        self.assertEqual({lines[0] for lines in outputs}, {"name"})
        self.assertEqual(len({lines[1] for lines in outputs}), 5)

    def test_what_is_mounted_inside_goes_too(self):
        self.assertEqual(self.shell("mkdir a; mount -t tmpfs none a; touch a/b").returncode, 0)


class Signals(RunTest):
    def tearDown(self):
        self.assert_nothing_left()

    def test_signals_reach_the_command_once(self):
        names = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM")
        processes = [self.start_shell(f"trap 'echo got {name}; left=3' {name}; echo ready; left=200; "
                                      "while test $left -gt 0; do left=$((left-1)); sleep 0.1; done")[0] for name in names]
        for name, process in zip(names, processes):
            process.send_signal(getattr(signal, "SIG" + name))
        for name, process in zip(names, processes):
            self.assertEqual(self.end_of(process), (0, f"got {name}\n", ""))

    def test_signal_that_ends_the_command_ends_the_run(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            process, _ = self.start_shell("echo ready; exec sleep 100")
            process.send_signal(number)
            self.assertEqual(process.wait(mounting.PATIENCE), -number)

    def test_signal_to_the_own_process_group_comes_once(self):
        process, _ = self.start_shell("trap 'echo got it' USR1; echo ready; kill -USR1 0; sleep 0.3",
                                      start_new_session=True)
        self.assertEqual(self.end_of(process), (0, "got it\n", ""))

    def test_ignored_signals_stay_ignored(self):
        process = subprocess.Popen(["sh", "-c", f'trap "" HUP; exec {self.binaries}/ztmpfs run -q '
                                    'sh -c "echo ready; sleep 0.5; exit 5"'], env=self.place.environment,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        self.assertEqual(process.wait(mounting.PATIENCE), 5)
        process.stdout.close()

    def test_background_processes_are_ended(self):
        for script in ("sleep 100 & exit 3", "setsid sleep 100 & exit 3", "(setsid sleep 100 &); exit 3",
                       "(trap '' TERM HUP; setsid sleep 100 &); exit 3", "sleep 100 & kill -STOP $!; exit 3",
                       "(cd $TMPDIR; exec setsid sleep 100 3> open) & exit 3"):
            result = self.shell(script, stdin=subprocess.DEVNULL)
            self.assertEqual((result.returncode, result.stderr), (3, ""), script)
            self.assertEqual(self.leftovers(), ([], [], []), script)

    def test_background_processes_may_finish_at_sigterm(self):
        out = os.path.join(self.place.directory, "out")
        self.shell(f"(trap 'sleep 0.3; echo bye > {out}; exit' TERM; echo > r; while :; do sleep 0.05; done) & "
                   "while ! test -e r; do sleep 0.01; done")
        with open(out, encoding="ascii") as file:
            self.assertEqual(file.read(), "bye\n")

    def test_ctrl_c_on_a_terminal(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(self.command()[0], self.command("sh", "-c", "trap 'echo got it; exit 7' INT; echo ready; sleep 100"),
                      self.place.environment)
        self.read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        text = self.read_until(terminal, b"ratio")
        self.assertEqual(text.count(b"got it"), 1, text)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 7)
        os.close(terminal)

    def test_ctrl_z_stops_and_fg_goes_on(self):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve("/bin/bash", ["bash", "--norc", "-i"], dict(self.place.environment, PS1="prompt$ "))
        os.write(terminal, (" ".join(self.command("sh -c 'echo rea''dy; sleep 0.4; echo do''ne'")) + "\n").encode())
        self.read_until(terminal, b"ready\r\n")
        os.write(terminal, b"\x1a")
        self.read_until(terminal, b"Stopped")
        os.write(terminal, b"fg; echo status=$?\n")
        text = self.read_until(terminal, b"status=0")
        self.assertIn(b"done\r\n", text)
        os.write(terminal, b"exit\n")
        os.waitpid(pid, 0)
        os.close(terminal)

    def test_closed_terminal_leaves_nothing(self):
        for command in (self.command("sleep", "100"), ["bash", "-c", " ".join(self.command("sleep 100")) + "; true"]):
            pid, terminal = pty.fork()
            if pid == 0:
                os.execvpe(command[0], command, self.place.environment)
            self.assertTrue(mounting.wait_until(lambda: "sleep" in [name for _, name in self.leftovers()[1]]))
            os.close(terminal)
            os.waitpid(pid, 0)
            self.assert_nothing_left()

    def read_until(self, terminal, word):
        text = b""
        while word not in text:
            try:
                chunk = os.read(terminal, 4096)
            except OSError as error:
                self.fail(f"{error}: {text}")
            text += chunk
        return text


class Kills(RunTest):
    def tearDown(self):
        self.assert_nothing_left()

    def start(self):
        process, (work,) = self.start_shell("pwd; (setsid sleep 100 &) ; sleep 100 & echo data > file; echo ready; wait")
        self.assertIn(work[:-len("/work")], [mountpoint for _, mountpoint in mounting.mounts_below(self.place.directory)])
        return process

    def test_front_process_killed(self):
        process = self.start()
        process.kill()
        self.assertEqual(process.wait(mounting.PATIENCE), -signal.SIGKILL)
        self.assert_nothing_left()

    def test_guard_killed(self):
        process = self.start()
        os.kill(self.process_named("ztmpfs-guard"), signal.SIGKILL)
        status, _, errors = self.end_of(process)
        self.assertEqual(status, 125)
        self.assertRegex(errors, r"^ztmpfs run: [^\n]*guard[^\n]*\n$")
        self.assertEqual(self.leftovers(), ([], [], []))

    def test_children_from_before_the_run_outlive_a_killed_guard(self):
        ready, ztmpfs = "echo ready; exec sleep 100", " ".join(self.command("-q"))
        process = subprocess.Popen(["sh", "-c", f"(sleep 100 & echo early; exec sleep 100) & exec {ztmpfs} sh -c '{ready}'"],
                                   env=self.place.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True)
        self.addCleanup(process.stdout.close)
        self.assertEqual(sorted([process.stdout.readline(), process.stdout.readline()]), ["early\n", "ready\n"])
        os.kill(self.process_named("ztmpfs-guard"), signal.SIGKILL)
        status = process.wait(mounting.PATIENCE)
        left = self.leftovers()
        for pid, _ in left[1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.assertEqual((status, [name for _, name in left[1]]), (125, ["sleep", "sleep"]))
        self.assertEqual((left[0], left[2]), ([], []))

    def test_holder_killed(self):
        process = self.start()
        os.kill(self.holder(), signal.SIGKILL)
        status, _, errors = self.end_of(process)
        self.assertEqual(status, 125)
        self.assertRegex(errors, r"^ztmpfs run: the mount [^\n]* has ended before the command\n$")
        self.assertEqual(self.leftovers(), ([], [], []))

    def test_holder_and_server_killed(self):
        process = self.start()
        server = self.server()
        os.kill(self.holder(), signal.SIGSTOP)
        os.kill(server, signal.SIGSTOP)
        os.kill(parent_of(server), signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
        self.assertEqual(process.wait(mounting.PATIENCE), 125)
        self.assertEqual(self.leftovers(), ([], [], []))

    def test_front_and_guard_killed_at_once(self):
        for script in ("echo ready; exec sleep 100", "sleep 100 & (cd /; exec setsid sleep 100 3> $TMPDIR/a) & echo ready; wait"):
            process, _ = self.start_shell(script)
            guard = self.process_named("ztmpfs-guard")
            os.kill(guard, signal.SIGSTOP)
            process.kill()
            os.kill(guard, signal.SIGKILL)
            self.assert_nothing_left()

    def test_guard_and_front_killed_one_after_the_other(self):
        process, _ = self.start_shell("sleep 100 & echo ready; wait")
        process.send_signal(signal.SIGSTOP)
        os.kill(self.process_named("ztmpfs-guard"), signal.SIGKILL)
        process.kill()

    def test_server_killed_and_the_command_goes_on(self):
        process, _ = self.start_shell("echo data > file; echo ready; sleep 0.5; cat file; ls; exit 6")
        os.kill(self.server(), signal.SIGKILL)
        self.assertEqual(self.end_of(process), (6, "data\nfile\n", ""))

    def test_whole_process_group_killed(self):
        process = self.start_it("sh", "-c", "(setsid sleep 100 &); sleep 100", start_new_session=True)
        self.assertTrue(mounting.wait_until(lambda: len([1 for _, name in self.leftovers()[1] if name == "sleep"]) == 2))
        os.killpg(process.pid, signal.SIGKILL)

    def test_sigterm_to_all_processes_at_once(self):
        self.start()
        for pid in processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def test_mount_that_is_unmounted_by_the_command(self):
        result = self.shell('cd /; umount -l $ZTMPFS_MOUNT; sleep 100')
        self.assertEqual(result.returncode, 125)
        self.assertIn("has ended before the command", result.stderr)

    def test_killed_at_any_instant(self):
        dice = random.Random(6)
        rounds, width = (1, 4) if self.is_sanitized else (5, 8)
        script = "echo x > a; (setsid sleep 100 &); echo y > $TMPDIR/b; exit 0"
        for _ in range(rounds):
            processes = [self.start_it("sh", "-c", script, stderr=subprocess.DEVNULL) for _ in range(width)]
            for process in processes:
                time.sleep(dice.random() * 0.2)
                if dice.random() < 0.7:
                    process.kill()
                    continue
                victims = [pid for pid in processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
                           if name_of(pid) == "ztmpfs-guard" and parent_of(pid) == process.pid]
                for pid in victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            for process in processes:
                process.wait(mounting.PATIENCE)
            self.assert_nothing_left()


def describe(path):
    """All that a copy has to keep of one entry."""
    status = os.lstat(path)
    what = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev]
    if stat.S_ISREG(status.st_mode):
        what += [status.st_size, status.st_nlink, mount_case.read_file(path)]
    if stat.S_ISLNK(status.st_mode):
        what.append(os.readlink(path))
    else:
        what.append({name: os.getxattr(path, name) for name in os.listxattr(path)})
    return what


def describe_tree(root):
    found = {".": describe(root)}
    for directory, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = describe(path)
    return found


def refuse_exchange():
    """From here on renameat2(RENAME_EXCHANGE) fails with EINVAL in this process, as on file systems without it."""
    number = {"x86_64": 316, "aarch64": 276}[os.uname().machine]
    load, equal, give = 0x20, 0x15, 0x06  # of struct seccomp_data: nr at 0, the fifth argument at 48
    program = struct.pack("=" + "HBBI" * 6, load, 0, 0, 0, equal, 0, 3, number, load, 0, 0, 48, equal, 0, 1, 2,
                          give, 0, 0, 0x00050000 | errno.EINVAL, give, 0, 0, 0x7FFF0000)
    code = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("@HP", 6, ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_no_new_privs, pr_set_seccomp, filter_mode = 38, 22, 2
    if libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0) != 0 or libc.prctl(pr_set_seccomp, filter_mode, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


class Copies(RunTest):
    options = "size=64M,xattr"

    def setUp(self):
        super().setUp()
        self.here = self.place.make_mountpoint("here")

    def tearDown(self):
        self.assertEqual([name for name in os.listdir(self.here) if name.startswith(".")], [])
        self.assert_nothing_left()

    def shell(self, script, *options, **keywords):
        return super().shell(script, *options, cwd=self.here, **keywords)

    def path(self, *names):
        return os.path.join(self.here, *names)

    def write(self, name, data=b"data\n"):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        write_file(self.path(name), data)

    def make_tree(self):
        """Every kind of file; returns what it is."""
        self.write("tree/plain", b"some text\n" * 5000)
        self.write("tree/sub/deeper/.hidden", b"")
        os.symlink("sub/nowhere", self.path("tree/link"))
        os.link(self.path("tree/plain"), self.path("tree/sub/same"))
        os.mkfifo(self.path("tree/fifo"), 0o640)
        os.mknod(self.path("tree/device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(self.path("tree/socket")))
        with open(self.path("tree/sparse"), "wb") as file:
            file.truncate(64 * MIB)
            file.seek(20 * MIB)
            file.write(b"island")
        self.write("tree/odd \n name\xff", b"x")
        os.setxattr(self.path("tree/plain"), "user.note", b"value")
        os.setxattr(self.path("tree/sub"), "user.note", b"of a directory")
        os.chown(self.path("tree/sub/deeper/.hidden"), 1234, 5678)
        os.chmod(self.path("tree/plain"), 0o4755)
        os.chmod(self.path("tree/sub/deeper"), 0o2555)
        for number, name in enumerate(("plain", "link", "fifo", "device", "socket", "sub/deeper", "sub", ".")):
            os.utime(self.path("tree", name), ns=(10**18 + number, 10**18 + 7 * number), follow_symlinks=False)
        return describe_tree(self.path("tree"))

    def test_copy_there_and_back_keeps_everything(self):
        before = self.make_tree()
        result = self.shell("stat -c %b sparse", "--copy-in", "tree", "--copy-out", ".:back")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertLess(int(result.stdout), 2048, "the hole was filled")
        self.assertEqual(describe_tree(self.path("back")), before)
        self.assertLess(os.stat(self.path("back/sparse")).st_blocks, 2048)
        self.assertEqual(describe_tree(self.path("tree")), before)
        same = {os.stat(self.path("back", name)).st_ino for name in ("plain", "sub/same")}
        self.assertEqual(len(same), 1)

    def test_copy_is_a_copy(self):
        self.write("tree/file", b"before")
        self.assertEqual(self.shell("echo after > file; rm -r sub; ls", "--copy-in", "tree").stdout, "file\n")
        self.assertEqual(mount_case.read_file(self.path("tree/file")), b"before")

    def test_copy_in_of_what_the_mount_lies_in_leaves_the_mount_out(self):
        self.write("file")
        result = self.shell("find . -name work; cat here/file", "--copy-in", self.place.directory)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "data\n", ""))

    def test_copy_in_that_fails_names_the_path(self):
        self.write("file")
        for directory in ("missing", "file"):
            result = self.shell("echo ran", "--copy-in", directory)
            self.assertEqual((result.returncode, result.stdout), (125, ""))
            self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{directory}[^\n]*\n$")

    def test_copy_in_without_room_says_so(self):
        self.write("tree/large", os.urandom(80 * MIB))
        result = self.shell("echo ran", "--copy-in", "tree")
        self.assertEqual((result.returncode, result.stdout), (125, ""))
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot copy [^\n]*tree/large to [^\n]*: No space left on device\n$")

    def test_results_come_out_under_their_names(self):
        result = self.shell("echo one > a; mkdir -p b/c; echo two > b/c/d; ln -s b/c here; umask 0; echo x > w",
                            "--copy-out", "a", "--copy-out", "b/c/d:out/deep/name", "--copy-out", "b:there/", "--copy-out",
                            "here", "--copy-out", f"w:{self.path('new:name')}", umask=0o027)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for name, text in (("a", b"one\n"), ("out/deep/name", b"two\n"), ("there/b/c/d", b"two\n"), ("here/d", b"two\n"),
                           ("new:name", b"x\n")):
            self.assertEqual(mount_case.read_file(self.path(name)), text)
        modes = [stat.S_IMODE(os.stat(self.path(name)).st_mode) for name in ("a", "out/deep", "new:name")]
        self.assertEqual(modes, [0o640, 0o750, 0o666])

    def test_results_of_a_failed_command_stay_unless_they_are_always_wanted(self):
        result = self.shell("echo x | tee a b; exit 9", "--copy-out", "a", "--copy-out-always", "b")
        self.assertEqual((result.returncode, os.listdir(self.here)), (9, ["b"]))
        result = self.shell("kill -9 $$", "--copy-out-always", "missing")
        self.assertEqual(result.returncode, -9)
        self.assertRegex(result.stderr, r"^ztmpfs run: --copy-out missing: No such file or directory\n$")

    def test_missing_result_fails_and_brings_none(self):
        result = self.shell("echo x > a", "--copy-out", "a", "--copy-out", "out/missing")
        self.assertEqual((result.returncode, os.listdir(self.here)), (125, []))
        self.assertRegex(result.stderr, r"^ztmpfs run: --copy-out out/missing: No such file or directory\n$")

    def test_files_are_replaced_and_directories_only_if_asked(self):
        self.write("a", b"old")
        self.write("d/old", b"old")
        script = "echo new > a; mkdir d; echo new > d/new"
        self.assertEqual(self.shell(script, "--copy-out", "a").returncode, 0)
        self.assertEqual(mount_case.read_file(self.path("a")), b"new\n")
        result = self.shell("echo ran", "--copy-out", "d")
        self.assertEqual((result.returncode, result.stdout, os.listdir(self.path("d"))), (125, "", ["old"]))
        self.assertRegex(result.stderr, r"^ztmpfs run: [^\n]*/d is there already[^\n]*--replace[^\n]*\n$")
        self.assertEqual(self.shell(script, "--replace", "--copy-out", "d").returncode, 0)
        self.assertEqual(os.listdir(self.path("d")), ["new"])

    def test_destinations_that_cannot_be_are_refused_before_the_command_runs(self):
        self.write("file")
        for options, culprit in ((["--replace", "--copy-out", "."], "was called"),
                                 (["--replace", "--copy-out", f"a:{self.place.directory}"], "was called"),
                                 (["--copy-out", "a:file/b"], "file"), (["--copy-out", "a", "--copy-out", "b:./a"], "two results")):
            result = self.shell("echo ran", *options)
            self.assertEqual((result.returncode, result.stdout), (125, ""), options)
            self.assertRegex(result.stderr, rf"^ztmpfs run: [^\n]*{culprit}[^\n]*\n$")

    def test_symbolic_link_to_a_directory_is_refused_before_the_command_runs(self):
        self.write("dist-1/old")
        os.symlink("dist-1", self.path("dist"))
        for options in ([], ["--replace"]):
            result = self.shell("echo ran", "--copy-out", "dist", *options)
            self.assertEqual((result.returncode, result.stdout, os.readlink(self.path("dist"))), (125, "", "dist-1"))
            self.assertRegex(result.stderr, r"^ztmpfs run: [^\n]*/dist: it is a symbolic link to a directory\n$")

    def kept_results(self, result):
        """The paths that a run has named that could not put its results in their places."""
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot put [^\n]*\n$")
        paths = re.findall(r"the result is in ([^;\n]+)", result.stderr)
        self.assertEqual(sorted(name for name in os.listdir(self.here) if name.startswith("ztmpfs-")),
                         sorted(os.path.basename(path) for path in paths))
        return paths

    def test_result_that_cannot_take_its_place_is_kept(self):
        self.write("file", b"old")
        self.write("directory/old", b"old")
        for script, options in (("mkdir r; echo new > r/new", ["--copy-out", "r:file"]),
                                ("echo new > r", ["--replace", "--copy-out", "r:directory"]),
                                (f"echo new > r; mkdir -p {self.path('late/full')}", ["--copy-out", "r:late"]),
                                (f"mkdir r; echo new > r/new; mkdir -p {self.path('later/full')}", ["--copy-out", "r:later"])):
            (kept,) = self.kept_results(self.shell(script, *options))
            name = os.path.join(kept, "new") if os.path.isdir(kept) else kept
            self.assertEqual(mount_case.read_file(name), b"new\n", script)
            shutil.rmtree(kept) if os.path.isdir(kept) else os.unlink(kept)
        self.assertEqual((mount_case.read_file(self.path("file")), os.listdir(self.path("directory"))), (b"old", ["old"]))

    def test_result_with_something_in_its_way_holds_the_others_back(self):
        self.write("file", b"old")
        self.write("a", b"old")
        result = self.shell("echo new > a; mkdir r", "--copy-out", "a", "--copy-out", "r:file")
        kept, directory = self.kept_results(result)
        self.assertEqual((mount_case.read_file(self.path("a")), mount_case.read_file(kept)), (b"old", b"new\n"))
        self.assertEqual((mount_case.read_file(self.path("file")), os.listdir(directory)), (b"old", []))

    def test_directory_is_replaced_where_names_cannot_be_exchanged(self):
        self.write("d/old")
        result = self.shell("mkdir d; echo new > d/new", "--replace", "--copy-out", "d", preexec_fn=refuse_exchange)
        self.assertEqual((result.returncode, result.stderr, os.listdir(self.path("d"))), (0, "", ["new"]))

    def test_destination_without_room_is_left_alone(self):
        small = self.place.make_mountpoint("here/small")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", small], check=True, timeout=mounting.PATIENCE)
        self.addCleanup(subprocess.run, ["umount", small], check=True, timeout=mounting.PATIENCE)
        self.write("small/a", b"old")
        result = self.shell("head -c 2M /dev/urandom > a", "--copy-out", "a:small/a")
        self.assertEqual(result.returncode, 125)
        self.assertRegex(result.stderr, r"^ztmpfs run: cannot copy [^\n]*work/a to [^\n]*: No space left on device\n$")
        self.assertEqual((os.listdir(small), mount_case.read_file(self.path("small/a"))), (["a"], b"old"))

    def assert_nothing_left(self):
        small = os.path.join(self.here, "small")
        self.assertTrue(mounting.wait_until(lambda: (
            [path for _, path in self.leftovers()[0] if path != small], *self.leftovers()[1:]) == ([], [], [])))

    def test_killed_while_copying_out_leaves_nothing_or_the_whole(self):
        dice = random.Random(7)
        self.write("tree/file", b"old")
        script = "mkdir tree; for i in 1 2 3 4 5 6 7 8; do head -c 1M /dev/zero > tree/$i; done; echo ready"
        for _ in range(2 if self.is_sanitized else 6):
            process = self.start_it("--replace", "--copy-out", "tree", "--copy-out", "tree/8:some/where/one", "sh", "-c",
                                    script, cwd=self.here, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdout.readline()
            process.stdout.close()
            time.sleep(dice.random() * 0.06)
            pids = processes_with("ZTMPFS_RUNTIME_DIR", self.place.runtime)
            guards = [pid for pid in pids if name_of(pid) == "ztmpfs-guard" and parent_of(pid) == process.pid]
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice([process.pid, *guards]), signal.SIGKILL)
            process.wait(mounting.PATIENCE)
            self.assert_nothing_left()
            tree = sorted(os.listdir(self.path("tree")))
            self.assertIn(tree, (["file"], list("12345678")))
            shutil.rmtree(self.path("tree"))
            self.write("tree/file", b"old")
            if os.path.exists(self.path("some")):
                self.assertEqual(os.path.getsize(self.path("some/where/one")), MIB)
                shutil.rmtree(self.path("some"))

    def test_ctrl_c_while_copying_in_ends_the_run(self):
        self.write("tree/large", bytes(1000))
        os.truncate(self.path("tree/large"), 0)
        with open(self.path("tree/large"), "wb") as file:
            for _ in range(40):
                file.write(os.urandom(MIB))
        process = self.start_it("--copy-in", "tree", "echo", "ran", cwd=self.here, stdout=subprocess.PIPE)
        self.assertTrue(mounting.wait_until(lambda: mounting.mounts_below(self.place.directory)))
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.stdout.read(), process.wait(mounting.PATIENCE)), ("", -signal.SIGINT))
        process.stdout.close()


class Users(UserTest, RunTest):
    """An ordinary user: through fusermount3, and as root of a user namespace."""

    SCRIPT = """
        result=0
        ./ztmpfs run -q -o size=64M sh -c 'echo hello > a; (setsid sleep 100 &); cat a; pwd; exit 3' || result=$?
        echo $result; ls run
        mkdir plain/tree; echo text > plain/tree/file
        ./ztmpfs run -q --copy-in plain/tree --copy-out file:plain/copy true; cat plain/copy
        ./ztmpfs run -q --copy-out a:/etc/a true 2>&1 || echo $?
        ./ztmpfs run -q -o size=64M sh -c 'echo ready > $0/plain/ready; sleep 100' $PWD & front=$!
        while ! test -e plain/ready; do sleep 0.05; done
        kill -9 $front
        while ls run | grep -q .; do sleep 0.05; done
        ! findmnt -t fuse.ztmpfs | grep $PWD"""

    def setUp(self):
        super().setUp()
        self.give_to_user("plain", "run")
        # For sockets and mounts in it, not files that are left.
        os.chmod(self.place.runtime, 0o700)

    def assert_ran(self, out):
        hello, work, *rest = out.splitlines()
        sentence = "ztmpfs run: --copy-out cannot make /etc/a in /etc: Permission denied"
        self.assertEqual((hello, *rest), ("hello", "3", "text", sentence, "125"))
        self.assertTrue(work.startswith(os.path.join(self.place.runtime, "run-")), work)
        self.assert_nothing_left()

    def test_with_fusermount3(self):
        if missing := missing_programs("fusermount3"):
            self.skipTest(f"needs {missing[0]} (package fuse3)")
        self.assert_ran(self.run_as_user(self.SCRIPT))

    def test_as_root_of_a_user_namespace(self):
        if (refusal := self.refusal_of("unshare -Urm true")) is not None:
            self.skipTest(f"users may not make user namespaces here: {refusal}")
        script = self.SCRIPT.replace("'", "'\\''")
        self.assert_ran(self.run_as_user(f"unshare -Urm sh -e -c '{script}'"))

    def refusal_of(self, script):
        result = subprocess.run(["unshare", "-m", "setpriv", "--reuid", "65534", "--clear-groups", "sh", "-c", script],
                                capture_output=True, text=True, check=False, timeout=mounting.PATIENCE)
        return None if result.returncode == 0 else result.stderr.strip()


if __name__ == "__main__":
    mount_case.main(__doc__)
