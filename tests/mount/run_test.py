#!/usr/bin/env python3
"""`ztmpfs run` on the real kernel: exit status, signals, environment, and that nothing is left whatever is killed.

usage: run_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import contextlib
import os
import pty
import random
import re
import signal
import subprocess
import time

import mount_case
import mounting
from mount_case import write_file
from run_case import RunTest, name_of, parent_of, processes_with
from users_test import UserTest, missing_programs

SUMMARY = re.compile(r"^ztmpfs run: \d+\.\d s, at most (.+) of data in (.+) of memory \(ratio \d+\.\d\d\)\n$")


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
        self.assertEqual(rest, [".:", "", f"{temporary}:", "700", "1777", "700", "fuse.ztmpfs  64M"])

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
            os.execve(self.command()[0], self.command("sh", "-c", "trap 'echo got it; exit 7' INT; echo ready; while :; do sleep 0.05; done"),
                      self.place.environment)
        self.read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        text = self.read_until(terminal, b"of memory")
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
