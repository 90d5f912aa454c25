#!/usr/bin/env python3
"""ztmpfsctl on a terminal: the live view, the progress bar, and that the terminal is afterwards as it was before.

usage: terminal_test.py BINARIES [unittest arguments]
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import unittest

from fake_mount import FakeMount
from terminal import PATIENCE, Terminal

ENTER = b"\x1b[?1049h"
LEAVE = b"\x1b[?1049l"
HOME = b"\x1b[H"
SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


def frames(output):
    """What was drawn, frame by frame, as lines without colours."""
    return [SEQUENCE.sub(b"", frame).decode().replace("\r", "").split("\n") for frame in output.split(HOME)[1:]]


class CtlTest(unittest.TestCase):
    binaries = ""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ztmpfs-ctl-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.program = os.path.join(self.binaries, "ztmpfsctl")
        self.environment = dict(os.environ, ZTMPFS_RUNTIME_DIR=self.directory, TERM="xterm")
        self.environment.pop("NO_COLOR", None)

    def terminal(self, *arguments, **keywords):
        terminal = Terminal([self.program, *arguments], self.environment, **keywords)
        self.addCleanup(terminal.close)
        return terminal

    def run_piped(self, *arguments):
        return subprocess.run([self.program, *arguments], env=self.environment, capture_output=True, text=True,
                              timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)


class Top(CtlTest):
    def setUp(self):
        super().setUp()
        self.mount = FakeMount(self.directory)
        self.addCleanup(self.mount.close)

    def start(self, *arguments, **keywords):
        terminal = self.terminal("top", "--interval", "0.1", *arguments, **keywords)
        self.assertTrue(terminal.wait_for(lambda output: len(frames(output)) > 2), terminal.output)
        return terminal

    def assert_restored(self, terminal, exit_code=0):
        flags = terminal.local_flags()
        self.assertEqual(terminal.finish(), exit_code, terminal.output)
        self.assertEqual(terminal.output.count(ENTER), terminal.output.count(LEAVE))
        self.assertIn(b"\x1b[?25h", terminal.output[terminal.output.rindex(b"\x1b[?25l"):], "the cursor is back")
        return flags

    def test_key_q_ends_it_and_the_terminal_is_as_before(self):
        terminal = self.start()
        self.assertTrue(terminal.output.startswith(ENTER), terminal.output)
        self.assertEqual(terminal.local_flags() & (termios.ICANON | termios.ECHO), 0)
        terminal.type("x")
        terminal.type("q")
        self.assertTrue(terminal.wait_for(lambda output: LEAVE in output))
        self.assert_restored(terminal)

    def test_shell_gets_its_terminal_modes_back(self):
        shell = f"stty -a > before; '{self.program}' top -n 2 -i 0.1; stty -a > after"
        terminal = Terminal(["/bin/sh", "-c", f"cd '{self.directory}'; {shell}"], self.environment)
        self.assertEqual(terminal.finish(), 0, terminal.output)
        with open(os.path.join(self.directory, "before"), encoding="ascii") as before, \
                open(os.path.join(self.directory, "after"), encoding="ascii") as after:
            self.assertEqual(before.read(), after.read())

    def test_signals_end_it_and_the_terminal_is_as_before(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number):
                terminal = self.start()
                os.kill(terminal.pid, number)
                self.assert_restored(terminal)

    def test_control_c_ends_it(self):
        terminal = self.start()
        terminal.type("\x03")
        self.assert_restored(terminal)

    def test_view_follows_the_size_of_the_terminal(self):
        terminal = self.start(columns=120, rows=40)
        self.assertTrue(any("requests" in line and "classes" in line for line in frames(terminal.output)[-2]))
        terminal.resize(50, 12)
        begin = len(frames(terminal.output)) + 1  # one may be under way
        self.assertTrue(terminal.wait_for(lambda output: len(frames(output)) > begin + 2), terminal.output)
        terminal.type("q")
        self.assert_restored(terminal)
        for frame in frames(terminal.output)[begin:]:
            self.assertLessEqual(len(frame), 12)
            self.assertLessEqual(max(len(line) for line in frame), 50, frame)

    def test_stop_and_continue_give_the_terminal_back_and_take_it_again(self):
        terminal = self.start()
        os.kill(terminal.pid, signal.SIGTSTP)
        self.assertTrue(os.WIFSTOPPED(os.waitpid(terminal.pid, os.WUNTRACED)[1]))
        self.assertTrue(terminal.wait_for(lambda output: output.endswith(LEAVE)), terminal.output)
        os.kill(terminal.pid, signal.SIGCONT)
        self.assertTrue(terminal.wait_for(lambda output: output.count(ENTER) == 2))
        terminal.type("q")
        self.assert_restored(terminal)

    def test_rates_are_those_of_the_interval(self):
        terminal = self.start("--count", "4")
        self.assert_restored(terminal)
        line = next(line for line in frames(terminal.output)[-1] if line.startswith("  LOOKUP"))
        self.assertGreater(float(re.search(r"([\d.]+)/s", line)[1]), 1)

    def test_end_of_the_mount_is_told_on_the_restored_terminal(self):
        terminal = self.start()
        self.mount.close()
        self.assertTrue(terminal.wait_for(lambda output: b"fake has ended\r\n" in output))
        self.assertLess(terminal.output.index(LEAVE), terminal.output.index(b"fake has ended"))
        self.assert_restored(terminal, exit_code=1)

    def test_mount_that_is_another_one_by_now_is_told(self):
        terminal = self.start()
        self.mount.stats["uptime_seconds"] = 1
        self.assertTrue(terminal.wait_for(lambda output: b"fake has ended, and was mounted anew" in output))
        self.assert_restored(terminal, exit_code=1)

    def test_server_that_does_not_answer_is_waited_for(self):
        terminal = self.start()
        self.mount.answers = False
        self.assertTrue(terminal.wait_for(lambda output: b"does not answer just now" in output))
        self.mount.stats["server_restarts"] = 1
        self.mount.answers = True
        self.assertTrue(terminal.wait_for(lambda output: b"(just now)" in output))
        terminal.type("q")
        self.assert_restored(terminal)

    def test_colours_are_left_out_with_no_color(self):
        self.assertIn(b"\x1b[1m", self.start().output)
        self.environment["NO_COLOR"] = "1"
        self.assertNotIn(b"\x1b[1m", self.start().output)

    def test_dumb_terminal_and_pipe_get_plain_views(self):
        self.environment["TERM"] = "dumb"
        terminal = self.terminal("top", "-i", "0.1", "-n", "2")
        self.assertEqual(terminal.finish(), 0)
        piped = self.run_piped("top", "-i", "0.1", "-n", "2")
        for output in (terminal.output.decode().replace("\r", ""), piped.stdout):
            self.assertNotIn("\x1b", output)
            self.assertEqual(output.count("fake on /mnt/fake, up 10 s"), 2)
            self.assertEqual(output.count("  LOOKUP "), 2)

    def test_json_is_one_object_per_line(self):
        result = self.run_piped("--json", "top", "fake", "--interval=0.1", "--count=3")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(len(lines), 3)
        for line in lines:
            rate = line["requests_per_second"]["LOOKUP"]
            self.assertAlmostEqual(rate * line["seconds"], 40, places=3)
            self.assertEqual(line["stats"]["name"], "fake")

    def test_reader_that_goes_away_ends_it(self):
        with subprocess.Popen([self.program, "top", "-i", "0.1"], env=self.environment, stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL) as process:
            process.stdout.readline()
            process.stdout.close()
            self.assertNotEqual(process.wait(PATIENCE), 0)


class Estimate(CtlTest):
    """With a codec that is slow enough to be watched."""

    slow = ("--all", "--codec", "zstd:19")

    def setUp(self):
        super().setUp()
        self.tree = os.path.join(self.directory, "tree")
        os.mkdir(self.tree)

    def fill(self, kibibytes):
        line = "".join(f"{number * number % 7919} {number} text\n" for number in range(30000))
        with open(os.path.join(self.tree, "text"), "w", encoding="ascii") as file:
            while file.tell() < kibibytes << 10:
                file.write(line)

    def test_progress_is_shown_on_a_terminal_and_gone_in_the_end(self):
        self.fill(512)
        terminal = self.terminal("estimate", *self.slow, self.tree)
        self.assertEqual(terminal.finish(), 0, terminal.output[-200:])
        self.assertRegex(terminal.output, rb"\[#*\.*\] \d+ % .* of .* read")
        self.assertRegex(terminal.output, rb"read\r\x1b\[K\x1b\[1m/")

    def test_progress_is_not_shown_elsewhere(self):
        self.fill(512)
        result = self.run_piped("estimate", *self.slow, self.tree)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertNotIn("\x1b", result.stdout)

    def test_control_c_ends_it_and_the_bar_is_gone(self):
        self.fill(64 << 10)
        terminal = self.terminal("estimate", *self.slow, self.tree)
        self.assertTrue(terminal.wait_for(lambda output: b" read" in output))
        terminal.type("\x03")
        self.assertEqual(terminal.finish(), -signal.SIGINT, "long before the minutes that the whole takes")
        self.assertTrue(terminal.output.endswith(b"\r\x1b[K"), terminal.output[-50:])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    CtlTest.binaries = os.path.realpath(sys.argv.pop(1))
    unittest.main(verbosity=2)
