#!/usr/bin/env python3
"""ztmpfs as a service on the real kernel, as root, with a service manager that is played: restarts that keep mount and
contents, the death of holder and server, heartbeats.

usage: service_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import mount_case
import mounting
from fake_systemd import FakeSystemd
from mount_case import MIB, MountTest, read_file, read_uncached, write_file

KEPT = ["ztmpfs-buffers", "ztmpfs-data", "ztmpfs-fuse", "ztmpfs-meta"]


class ServiceTest(MountTest):
    room = 8
    watchdog = None

    def setUp(self):
        super().setUp()
        self.manager = FakeSystemd(self.place, self.room, self.watchdog)
        self.addCleanup(self.manager.close)
        self.device = None

    def start(self, options="size=256M"):
        process = self.manager.start("-o", options, "disk", self.mountpoint)
        self.assertTrue(self.manager.wait_until_ready(), "not ready in time")
        self.assertEqual(self.manager.main_pid(), process.pid)
        return process

    def servers(self):
        listed = self.place.control("list")
        return [entry["server_pid"] for entry in listed]

    def kill(self, pid, number=signal.SIGKILL):
        os.kill(pid, number)

    def terminate(self, process, number=signal.SIGTERM):
        """Exit code and log after a signal."""
        self.kill(process.pid, number)
        return self.finish(process)

    def stop(self, process):
        """As the unit's ExecStop= does for anything but a restart."""
        code, log = self.terminate(process, signal.SIGINT)
        self.assertEqual(code, 0, log)
        self.assert_clean()

    def path(self, name):
        return os.path.join(self.mountpoint, name)


class Protocol(ServiceTest):
    def test_ready_is_said_when_the_mount_is_usable(self):
        process = self.start()
        self.assertTrue(self.place.is_mounted(self.mountpoint))
        self.assertEqual(self.place.control("list")[0]["holder_pid"], process.pid)
        self.assertEqual(self.manager.names(), KEPT)
        self.stop(process)

    def test_environment_is_not_passed_on(self):
        process = self.start()
        server, = self.servers()
        names = {variable.split(b"=")[0] for variable in read_file(f"/proc/{server}/environ").split(b"\0")}
        self.assertIn(b"PATH", names)
        self.assertFalse(names & {b"NOTIFY_SOCKET", b"FDSTORE", b"LISTEN_FDS", b"LISTEN_FDNAMES", b"LISTEN_PID"})
        self.stop(process)

    def test_umount_ends_the_service_and_what_is_kept(self):
        process = self.start()
        self.unmount()
        self.assertEqual(self.finish(process)[0], 0)
        self.assertTrue(mounting.wait_until(lambda: self.manager.names() == []), self.manager.names())
        self.assertTrue(self.manager.said("STOPPING", "1"))
        self.assert_clean()

    def test_a_part_of_an_image_is_refused_once(self):
        process = self.start()
        self.assertEqual(self.terminate(process)[0], 0)
        self.manager.drop("ztmpfs-data")
        code, log = self.finish(self.manager.start("-o", "size=256M", "disk", self.mountpoint))
        self.assertEqual(code, 1)
        self.assertIn("the service manager has kept only a part of the contents of an earlier mount", log)
        self.assertTrue(mounting.wait_until(lambda: self.manager.names() == []), self.manager.names())

    def test_who_was_not_started_by_the_manager_goes_to_the_background(self):
        result = subprocess.run([os.path.join(self.binaries, "ztmpfs"), "-o", "size=64M", "disk", self.mountpoint],
                                env=dict(self.manager.environment, SYSTEMD_EXEC_PID="1"), capture_output=True,
                                text=True, check=False, timeout=mounting.PATIENCE)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertTrue(mounting.wait_until(lambda: self.manager.said("READY", "1")))
        holder = self.place.control("list")[0]["holder_pid"]
        self.assertEqual(self.manager.main_pid(), holder)
        self.kill(holder, signal.SIGTERM)  # $FDSTORE was not meant for it
        self.assert_clean()


class NoRoom(ServiceTest):
    room = 0

    def test_sigterm_unmounts_where_nothing_is_kept(self):
        process = self.start()
        self.assertEqual(self.terminate(process)[0], 0)
        self.assert_clean()


class Restart(ServiceTest):
    def setUp(self):
        super().setUp()
        self.process = self.start()
        self.device = self.place.device_of(self.mountpoint)
        self.data = os.urandom(8 * MIB)
        os.mkdir(self.path("here"))
        write_file(self.path("here/file"), self.data)
        self.open = os.open(self.path("nameless"), os.O_RDWR | os.O_CREAT, 0o600)
        os.write(self.open, b"before")
        os.unlink(self.path("nameless"))
        self.locked = os.open(self.path("locked"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.locked, fcntl.LOCK_EX)
        # Somebody whose working directory is in the mount, and who looks around in it when told to.
        self.inhabitant = subprocess.Popen(["sh", "-c", "while read line; do cat file | cksum; done"],
                                           cwd=self.path("here"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(self.leave)
        self.checksum = self.look_around()
        self.assertTrue(self.checksum.endswith(b" %d\n" % len(self.data)), self.checksum)

    def leave(self):
        for fd in (self.open, self.locked):
            if fd is not None:
                os.close(fd)
        self.open = self.locked = None
        self.inhabitant.kill()
        self.inhabitant.communicate()

    def look_around(self):
        self.inhabitant.stdin.write(b"\n")
        self.inhabitant.stdin.flush()
        return self.inhabitant.stdout.readline()

    def restart(self, options="size=256M"):
        self.process = self.start(options)

    def assert_everything_is_there(self):
        self.assertEqual(self.place.device_of(self.mountpoint), self.device)
        self.assertEqual(len(mounting.mounts_below(self.place.directory)), 1)
        self.assertEqual(self.look_around(), self.checksum)
        self.assertTrue(read_uncached(self.path("here/file")) == self.data)
        os.lseek(self.open, 0, os.SEEK_SET)
        self.assertEqual(os.read(self.open, 100), b"before")
        os.fsync(self.open)
        with open(self.path("locked"), "rb") as file, self.assertRaises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_file(self.path("new"), b"x")
        os.unlink(self.path("new"))
        self.assertEqual(self.manager.names(), KEPT)
        result = self.place.run("ztmpfsctl", "check", "disk")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def end(self):
        self.leave()
        self.stop(self.process)

    def test_restart_keeps_all(self):
        for _ in range(2):
            code, log = self.terminate(self.process)
            self.assertEqual(code, 0, log)
            self.assertTrue(self.manager.said("STOPPING", "1"))
            self.assertEqual(mounting.processes_of(self.place.directory), [])
            self.restart()
            self.assert_everything_is_there()
        self.end()

    def test_death_of_the_holder_keeps_all(self):
        for _ in range(2):
            server, = self.servers()
            self.kill(self.process.pid)
            self.finish(self.process)
            self.assertTrue(mounting.wait_until(lambda: not os.path.exists(f"/proc/{server}")), "the server goes on")
            self.assertTrue(self.place.is_mounted(self.mountpoint))
            self.restart()
            self.assert_everything_is_there()
        self.end()

    def test_death_of_both_keeps_all(self):
        for _ in range(2):
            server, = self.servers()
            self.kill(self.process.pid, signal.SIGSTOP)  # not to start another one
            self.kill(server)
            self.kill(self.process.pid)
            self.finish(self.process)
            self.restart()
            self.assert_everything_is_there()
        self.end()

    def test_stopped_holder_is_replaced(self):
        self.kill(self.process.pid, signal.SIGSTOP)
        self.kill(self.process.pid, signal.SIGABRT)  # what systemd does when the heartbeat stays away
        self.kill(self.process.pid, signal.SIGCONT)
        self.finish(self.process)
        self.restart()
        self.assert_everything_is_there()
        self.end()

    def test_top_goes_on_and_ends_with_the_mount(self):
        command = [os.path.join(self.binaries, "ztmpfsctl"), "--json", "top", "--interval", "0.1", "disk"]
        top = subprocess.Popen(command, env=self.place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
        self.addCleanup(top.communicate)
        self.addCleanup(top.kill)
        restarts = json.loads(top.stdout.readline())["stats"]["server_restarts"]
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.terminate(self.process, number)
            time.sleep(0.5)  # it notices that nobody is there
            self.assertIsNone(top.poll())
            self.restart()
            while json.loads(top.stdout.readline())["stats"]["server_restarts"] == restarts:
                pass
            restarts += 1
        self.end()
        _, complaint = top.communicate(timeout=mounting.PATIENCE)
        self.assertEqual((top.returncode, complaint), (1, "ztmpfsctl: disk has ended\n"))

    def test_writers_notice_no_restart(self):
        ended = threading.Event()
        failures = []
        rounds = [0]

        def write_and_verify():
            try:
                while not ended.is_set():
                    data = os.urandom(40000)
                    write_file(self.path("busy"), data)
                    if read_uncached(self.path("busy")) != data:
                        failures.append(f"other contents in round {rounds[0]}")
                    os.rename(self.path("busy"), self.path("done"))
                    rounds[0] += 1
            except OSError as error:
                failures.append(str(error))

        writer = threading.Thread(target=write_and_verify, daemon=True)
        writer.start()
        for number in (signal.SIGTERM, signal.SIGKILL) * 3:
            before = rounds[0]
            self.assertTrue(mounting.wait_until(lambda: rounds[0] > before + 5 or failures))
            self.kill(self.process.pid, number)
            self.finish(self.process)
            self.restart()
        ended.set()
        writer.join(mounting.PATIENCE)
        self.assertFalse(writer.is_alive())
        self.assertEqual(failures, [])
        self.assert_everything_is_there()
        self.end()

    def test_contents_come_back_on_a_new_mount(self):
        self.assertEqual(self.terminate(self.process)[0], 0)
        self.leave()
        subprocess.run(["umount", "-l", self.mountpoint], check=True, timeout=mounting.PATIENCE)
        self.restart()
        self.assertTrue(read_uncached(self.path("here/file")) == self.data)
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["here", "locked"])
        self.assertEqual(len(mounting.mounts_below(self.place.directory)), 1)
        self.assertEqual(self.manager.names(), KEPT)
        result = self.place.run("ztmpfsctl", "check", "disk")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.end()

    def test_other_options_apply_where_they_can(self):
        self.assertEqual(self.terminate(self.process)[0], 0)
        self.restart("size=128M,block=64K,mode=700")
        self.assert_everything_is_there()
        self.assertEqual(self.place.control("stats")["mem_limit"], 128 * MIB)
        self.leave()
        code, log = self.terminate(self.process, signal.SIGINT)
        self.assertEqual(code, 0, log)
        self.assertIn("block", log)
        self.assert_clean()

    def test_changes_of_a_running_mount_outlive_a_restart(self):
        self.place.control("set", "disk", "size=200M")
        self.assertEqual(self.terminate(self.process)[0], 0)
        self.restart()
        self.assertEqual(self.place.control("stats")["mem_limit"], 200 * MIB)
        self.end()


class Keep(ServiceTest):
    def test_contents_of_no_mount_outlive_a_restart(self):
        process = self.start("size=256M,keep")
        write_file(self.path("file"), b"contents")
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.unmount()
            self.assertTrue(mounting.wait_until(lambda: "ztmpfs-fuse" not in self.manager.names()))
            self.assertIsNone(process.poll())
            self.terminate(process, number)
            process = self.start("size=256M,keep")
            self.assertEqual(self.manager.names(), KEPT)
            self.assertEqual(read_uncached(self.path("file")), b"contents")
        self.stop(process)
        self.assertTrue(mounting.wait_until(lambda: self.manager.names() == []), self.manager.names())


class Reload(ServiceTest):
    def setUp(self):
        super().setUp()
        self.config_dir = os.path.join(self.place.directory, "etc")
        os.mkdir(self.config_dir)
        self.config = os.path.join(self.config_dir, "disk.toml")
        self.write('size = "256M"\nhot = "32M"')

    def write(self, text):
        write_file(self.config, f'mountpoint = "{self.mountpoint}"\n{text}\n'.encode())

    def start(self, *options):
        process = self.manager.start("--config-dir", self.config_dir, *options, "disk")
        self.assertTrue(self.manager.wait_until_ready(), "not ready in time")
        return process

    def reload(self):
        return self.place.run("ztmpfsctl", "reload", "disk")

    def ask_server(self):
        """Its statistics, whatever its holder does."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(mounting.PATIENCE)
            client.connect(os.path.join(self.place.runtime, "disk.sock"))
            client.sendall(b"GET /v1/stats HTTP/1.1\r\nConnection: close\r\n\r\n")
            answer = b""
            while chunk := client.recv(1 << 16):
                answer += chunk
        return answer

    def limits(self):
        stats = self.place.control("stats")
        return stats["mem_limit"] // MIB, stats["hot_limit"] // MIB

    def sent(self, key):
        with self.manager.lock:
            return [fields for fields in self.manager.messages if key in fields]

    def test_size_and_hot_change_without_remount_nor_another_server(self):
        process = self.start()
        device, servers = self.place.device_of(self.mountpoint), self.servers()
        self.assertEqual(self.limits(), (256, 32))
        self.write('size = "128M"\nhot = "16M"')
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        result = self.reload()
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "disk: the configuration is in effect\n", ""))
        self.assertEqual(self.limits(), (128, 16))
        self.assertEqual((self.place.device_of(self.mountpoint), self.servers()), (device, servers))
        reloading, = self.sent("RELOADING")
        self.assertTrue(before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000)
        self.assertTrue(mounting.wait_until(lambda: len(self.sent("READY")) == 2))
        with self.manager.lock:
            order = [key for fields in self.manager.messages for key in ("RELOADING", "READY") if key in fields]
        self.assertEqual(order, ["READY", "RELOADING", "READY"])
        self.stop(process)

    def test_what_is_left_out_becomes_the_default(self):
        process = self.start()
        self.place.control("set", "disk", "psi=off")
        self.write('size = "256M"')
        self.assertEqual(self.reload().returncode, 0)
        self.assertEqual(self.limits(), (256, 32))
        self.assertEqual(self.place.control("set", "disk", "size=128M")["psi"], "")
        self.stop(process)

    def test_command_line_wins_over_what_is_read_again(self):
        process = self.start("-o", "size=200M")
        self.write('size = "128M"\nhot = "16M"')
        self.assertEqual(self.reload().returncode, 0)
        self.assertEqual(self.limits(), (200, 16))
        self.stop(process)

    def test_mistakes_change_nothing(self):
        process = self.start()
        write_file(self.path("file"), os.urandom(64 * MIB))
        for text, sentence in (
                ('size = "128M"\nhot = [1]', f"option 'hot' in {self.config}:3 is an array: it must be a text, a number, "
                                             "true or false"),
                ('hot = "16M"\nfrob = 1', f"option 'frob' in {self.config}:3 is unknown"),
                ('hot = "16M"\nsize =', f"cannot read the configuration {self.config}: line 3: "),
                ('hot = "8M"\nsize = "40M"', "size cannot become 40.0 MiB: ")):
            self.write(text)
            result = self.reload()
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertTrue(result.stderr.startswith("ztmpfsctl: disk: " + sentence), result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
            self.assertEqual(self.limits(), (256, 32))
        os.unlink(self.config)
        self.assertIn("MOUNTPOINT is missing", self.reload().stderr)
        self.assertEqual(self.manager.count("RELOADING"), 5)
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("READY") == 6))
        self.stop(process)

    def test_what_cannot_change_is_named(self):
        process = self.start()
        self.write('size = "128M"\nkeep = true\ncodec = "lz4"')
        result = self.reload()
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "disk: the configuration is in effect, but for this: codec=lz4 is for the next mount; keep "
                             "is for the next mount\n", ""))
        self.assertEqual(self.limits(), (128, 16))
        self.stop(process)

    def test_hangup_reloads_and_says_in_the_log_what_is_wrong(self):
        process = self.start()
        self.write('size = "128M"')
        self.kill(process.pid, signal.SIGHUP)
        self.assertTrue(mounting.wait_until(lambda: self.limits() == (128, 16)))
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("READY") == 2))
        self.write('size = true')
        self.kill(process.pid, signal.SIGHUP)
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("READY") == 3))
        self.assertEqual(self.limits(), (128, 16))
        code, log = self.terminate(process, signal.SIGINT)
        self.assertEqual(code, 0)
        self.assertEqual(log.count(f"option 'size' in {self.config}:2 needs a value"), 1, log)
        self.assert_clean()

    def test_death_of_the_server_meanwhile_ends_it(self):
        process = self.start()
        server, = self.servers()
        self.kill(server, signal.SIGSTOP)
        reload = subprocess.Popen([os.path.join(self.binaries, "ztmpfsctl"), "reload", "disk"], stderr=subprocess.PIPE,
                                  text=True, env=self.place.environment)
        self.assertTrue(mounting.wait_until(lambda: self.manager.said("RELOADING", "1")))
        self.kill(server)
        _, sentence = reload.communicate(timeout=mounting.PATIENCE)
        self.assertEqual((reload.returncode, sentence),
                         (1, "ztmpfsctl: disk: the server has ended meanwhile: reload again\n"))
        self.assertTrue(mounting.wait_until(lambda: self.reload().returncode == 0))
        self.stop(process)

    def test_reload_outlives_a_crash_and_a_restart(self):
        process = self.start()
        self.write('size = "128M"')
        self.assertEqual(self.reload().returncode, 0)
        server, = self.servers()
        self.kill(server)
        self.assertTrue(mounting.wait_until(lambda: self.servers() not in ([], [server], [None])))
        self.assertEqual(self.limits(), (128, 16))
        self.assertEqual(self.terminate(process)[0], 0)
        process = self.start()
        self.assertEqual(self.limits(), (128, 16))
        self.write('size = "64M"')
        self.assertEqual(self.reload().returncode, 0)
        self.assertEqual(self.limits(), (64, 8))
        self.stop(process)

    def test_manager_that_is_busy_meanwhile_is_told_all_later_and_in_order(self):
        process = self.start()
        self.write('size = "128M"')
        with self.manager.too_busy():
            result = self.reload()
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(self.limits(), (128, 16))
        self.assertTrue(mounting.wait_until(lambda: len(self.sent("READY")) == 2))
        with self.manager.lock:
            order = [key for fields in self.manager.messages for key in ("RELOADING", "READY") if key in fields]
        self.assertEqual(order, ["READY", "RELOADING", "READY"])
        self.stop(process)

    def test_outcome_is_not_lost_while_the_holder_does_not_read(self):
        process = self.start()
        server, = self.servers()
        self.write('size = "128M"')
        self.kill(server, signal.SIGSTOP)
        reload = subprocess.Popen([os.path.join(self.binaries, "ztmpfsctl"), "reload", "disk"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, env=self.place.environment)
        self.addCleanup(reload.communicate)
        self.assertTrue(mounting.wait_until(lambda: self.manager.said("RELOADING", "1")))
        self.kill(process.pid, signal.SIGSTOP)
        self.addCleanup(lambda: process.poll() is None and self.kill(process.pid, signal.SIGCONT))
        descriptors = read_file(f"/proc/{server}/cmdline").split(b"\0")[1].removeprefix(b"--server=").split(b",")
        report = os.open(f"/proc/{server}/fd/{int(descriptors[4])}", os.O_WRONLY | os.O_NONBLOCK)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(report, (b"\x01" + 1022 * b"x" + b"\n") * 4)  # a page of news of no account
        os.close(report)
        self.kill(server, signal.SIGCONT)
        self.assertTrue(mounting.wait_until(lambda: b'"mem_limit":%d' % (128 * MIB) in self.ask_server()))
        self.kill(process.pid, signal.SIGCONT)
        _, sentence = reload.communicate(timeout=mounting.PATIENCE)
        self.assertEqual((reload.returncode, sentence), (0, ""))
        self.assertEqual(self.limits(), (128, 16))
        self.stop(process)

    def test_status_tells_what_the_mount_holds(self):
        process = self.start()
        pattern = rf"^serving {self.mountpoint}: [0-9.]+ MiB of 256\.0 MiB used, 0 B of contents, 0 files$"
        self.assertTrue(mounting.wait_until(
            lambda: any(re.match(pattern, fields["STATUS"]) for fields in self.sent("STATUS"))), self.sent("STATUS"))
        write_file(self.path("file"), bytes(64 * MIB))
        self.write('size = "200M"')
        self.assertEqual(self.reload().returncode, 0)  # else it takes up to ten seconds
        self.assertTrue(mounting.wait_until(
            lambda: any("of 200.0 MiB used, 64.0 MiB of contents" in fields["STATUS"] and fields["STATUS"].endswith(":1), 1 files")
                        for fields in self.sent("STATUS"))), self.sent("STATUS"))
        self.stop(process)


class Heartbeat(ServiceTest):
    watchdog = 0.8

    def beats(self, seconds):
        before = self.manager.count("WATCHDOG")
        time.sleep(seconds)
        return self.manager.count("WATCHDOG") - before

    def test_heartbeats_come_while_the_server_makes_progress(self):
        process = self.start()
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("WATCHDOG") >= 3))
        server, = self.servers()
        self.kill(server, signal.SIGSTOP)
        self.assertTrue(mounting.wait_until(lambda: self.beats(2 * self.watchdog) == 0), "beats on beside a stopped server")
        self.kill(server, signal.SIGCONT)
        before = self.manager.count("WATCHDOG")
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("WATCHDOG") >= before + 3))
        self.kill(server)  # a death is no standstill
        self.assertTrue(mounting.wait_until(lambda: self.servers() not in ([], [server])))
        before = self.manager.count("WATCHDOG")
        self.assertTrue(mounting.wait_until(lambda: self.manager.count("WATCHDOG") >= before + 3))
        self.stop(process)


if __name__ == "__main__":
    mount_case.main(__doc__)
