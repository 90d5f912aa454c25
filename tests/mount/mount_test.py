#!/usr/bin/env python3
"""ztmpfs on the real kernel, as root: mounting, unmounting, signals, refusals, requests per operation, memory.

usage: mount_test.py BINARIES [unittest arguments]      exit 77: this machine cannot mount
"""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import time

import mount_case
import mounting
from mount_case import MIB, CountingTest, MountTest, read_file, read_uncached, read_with_syscalls, write_file

STATS_KEYS = {
    "orig_data_size", "compr_data_size", "mem_used_total", "mem_limit", "mem_used_max", "same_pages", "huge_pages",
    "pages_compacted", "files", "directories", "hot_bytes", "metadata_bytes", "free_span_bytes",
    "compact_freeable_bytes", "requests", "forgets", "psi", "reclaim", "classes", "pool_payload_bytes",
    "pool_span_bytes", "checksum_failures", "name", "mountpoint", "uptime_seconds",
    "server_restarts", "oom_kills",
}


class Lifetime(MountTest):
    def test_background_mount_is_usable_at_once_and_ends_with_umount(self):
        self.mount()
        self.assertTrue(self.place.is_mounted(self.mountpoint))
        write_file(os.path.join(self.mountpoint, "a"), b"x")
        self.assertEqual(len(mounting.processes_of(self.place.directory)), 2)
        self.unmount()
        self.assert_clean()

    def test_foreground_mount_ends_with_umount_and_succeeds(self):
        process = self.place.start("-o", "size=256M", "disk", self.mountpoint)
        self.unmount()
        self.assertEqual(self.finish(process), (0, ""))
        self.assert_clean()

    def test_memory_is_given_back(self):
        self.mount()
        write_file(os.path.join(self.mountpoint, "a"), os.urandom(64 * MIB))
        holder = self.place.control("list")[0]["holder_pid"]
        memfds = [os.path.join(f"/proc/{holder}/fd", fd) for fd in os.listdir(f"/proc/{holder}/fd")]
        held = sum(os.stat(fd).st_blocks * 512 for fd in memfds if os.readlink(fd).startswith("/memfd:"))
        self.assertGreater(held, 64 * MIB)
        self.unmount()
        self.assert_clean()  # and with the last process the memfds are gone

    def test_mount_again_under_the_same_name_is_empty(self):
        for _ in range(3):
            self.mount()
            self.assertEqual(os.listdir(self.mountpoint), [])
            write_file(os.path.join(self.mountpoint, "a"), b"x")
            self.unmount()
        self.assert_clean()

    def test_mount_tells_who_it_is(self):
        self.mount("size=256M,noexec")
        found = subprocess.run(["findmnt", "-n", "-o", "SOURCE,FSTYPE,OPTIONS", self.mountpoint], capture_output=True,
                               text=True, check=True, timeout=mounting.PATIENCE).stdout.split()
        self.assertEqual(found[:2], ["disk", "fuse.ztmpfs"])
        for option in ("rw", "nosuid", "nodev", "noexec"):
            self.assertIn(option, found[2].split(","))
        usage = os.statvfs(self.mountpoint)
        self.assertEqual(usage.f_blocks * usage.f_frsize, 256 * MIB)
        self.unmount()

    def test_read_ahead_is_raised(self):
        self.mount()
        device = self.place.device_of(self.mountpoint)
        self.assertGreaterEqual(int(read_file(f"/sys/class/bdi/{device}/read_ahead_kb")), 1024)
        self.unmount()

    def test_mount_helper_and_its_order_of_arguments(self):
        if not os.path.exists("/sbin/mount.fuse") and not os.path.exists("/sbin/mount.fuse3"):
            self.skipTest("no mount.fuse3 here")
        # mount.fuse3 looks for programs in the system's folders only.
        script = """set -e
            mount -t tmpfs none /usr/local/sbin
            ln -s "$1/ztmpfs" /usr/local/sbin/ztmpfs
            mount -t fuse.ztmpfs disk "$2" -o size=64M,x-test,noatime
            findmnt -n -o SOURCE,FSTYPE,OPTIONS "$2"
            umount "$2" """
        result = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", self.binaries, self.mountpoint],
                                env=self.place.environment, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Adisk +fuse\.ztmpfs +rw,noatime,")
        self.assert_clean()

    def test_root_attributes_reach_the_mount(self):
        self.mount("size=64M,uid=5,gid=6,mode=750,allow_other")
        status = os.stat(self.mountpoint)
        self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o7777), (5, 6, 0o750))
        self.unmount()

    def test_ordinary_user_mounts_with_fusermount3(self):
        if shutil.which("fusermount3") is None or shutil.which("setpriv") is None:
            self.skipTest("needs fusermount3 and setpriv")
        user = 65534
        os.chmod(self.place.directory, 0o755)
        for path in (self.mountpoint, self.place.make_mountpoint("run")):
            os.chown(path, user, user)
        for name in ("ztmpfs", "ztmpfsctl"):  # to where an ordinary user can reach them
            shutil.copy(os.path.join(self.binaries, name), self.place.directory)
        # A namespace of its own, because not every machine lets users open /dev/fuse.
        as_root = """set -e
            mount -t tmpfs none /dev
            mknod -m 666 /dev/fuse c 10 229
            mknod -m 666 /dev/null c 1 3
            exec setpriv --reuid "$1" --regid "$1" --clear-groups sh -c "$2" sh "$3" """
        as_user = """set -e
            cd "$1"
            ./ztmpfs -o size=64M disk mnt
            echo hello > mnt/a
            cat mnt/a
            ./ztmpfsctl --json list
            findmnt -n -o SOURCE,FSTYPE,OPTIONS "$1/mnt"
            fusermount3 -u mnt
            ./ztmpfs -o size=64M disk mnt
            kill "$(./ztmpfsctl --json list | sed 's/.*"holder_pid":\\([0-9]*\\).*/\\1/')"
            for i in 1 2 3 4 5 6 7 8 9 10; do findmnt "$1/mnt" > /dev/null || exit 0; sleep 0.5; done
            echo "SIGTERM does not unmount"; exit 1"""
        result = subprocess.run(["unshare", "-m", "sh", "-c", as_root, "sh", str(user), as_user, self.place.directory],
                                env=self.place.environment, capture_output=True, text=True,
                                timeout=mounting.PATIENCE, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), result.stdout)
        lines = result.stdout.splitlines()
        self.assertEqual(lines[0], "hello")
        self.assertIn(self.mountpoint, lines[1])
        self.assertRegex(lines[2], r"\Adisk +fuse\.ztmpfs +rw,nosuid,nodev,.*user_id=65534,.*default_permissions")
        self.assert_clean()


class Signals(MountTest):
    def test_sigterm_unmounts(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
            process.send_signal(number)
            self.assertEqual(self.finish(process)[0], 0)
            self.assert_clean()

    def test_sigterm_to_the_server_unmounts(self):
        process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
        os.kill(self.place.control("list")[0]["server_pid"], signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)
        self.assert_clean()

    def test_busy_mount_is_detached_served_and_ends_with_its_user(self):
        process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
        with open(os.path.join(self.mountpoint, "log"), "wb") as file:
            process.send_signal(signal.SIGTERM)
            self.assertTrue(mounting.wait_until(lambda: not self.place.is_mounted(self.mountpoint)))
            file.write(b"still served\n")
            file.flush()
        code, log = self.finish(process)
        self.assertEqual(code, 0)
        self.assertIn(f"{os.getpid()} (", log)
        self.assert_clean()

    def test_busy_mount_ends_after_its_time_and_says_so(self):
        process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
        fd = os.open(os.path.join(self.mountpoint, "log"), os.O_WRONLY | os.O_CREAT)
        process.send_signal(signal.SIGTERM)
        code, log = self.finish(process)
        with self.assertRaises(OSError):
            os.write(fd, b"too late")
        with contextlib.suppress(OSError):
            os.close(fd)
        self.assertEqual(code, 1)
        self.assertIn("still in use", log)
        self.assert_clean()

    def test_moved_and_bound_mount_leaves_nothing_behind(self):
        inner = self.place.make_mountpoint("old/inner")
        bound = self.place.make_mountpoint("bound")
        process = self.place.start("-o", "size=64M", "disk", inner)
        os.mkdir(os.path.join(inner, "dir"))
        subprocess.run(["mount", "--bind", os.path.join(inner, "dir"), bound], check=True, timeout=mounting.PATIENCE)
        os.rename(os.path.dirname(inner), os.path.join(self.place.directory, "new"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.finish(process)[0], 0)
        self.assert_clean()

    def test_killed_server_is_replaced_and_it_is_told(self):
        process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
        path = os.path.join(self.mountpoint, "file")
        write_file(path, b"kept")
        os.kill(self.place.control("list")[0]["server_pid"], signal.SIGKILL)
        self.assertEqual(read_uncached(path), b"kept")
        stats = self.place.control("stats")
        self.assertEqual((stats["server_restarts"], stats["oom_kills"]), (1, 0))
        self.unmount()
        code, log = self.finish(process)
        self.assertEqual(code, 0)
        self.assertIn("the server was killed: another one goes on", log)
        self.assert_clean()

    def test_death_of_the_holder_ends_the_mount(self):
        process = self.place.start("-o", "size=64M", "disk", self.mountpoint)
        process.kill()
        self.finish(process)
        self.assert_clean()


class Refusals(MountTest):
    def refused(self, exit_code, *arguments):
        """One sentence on stderr, that exit code, and nothing left behind; returns the sentence."""
        result = self.place.run("ztmpfs", *arguments)
        self.assertEqual(result.returncode, exit_code, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Aztmpfs: [^\n]+\n\Z")
        return result.stderr

    def test_wrong_usage_names_the_culprit(self):
        cases = {
            "sise=1G": "'sise'", "size=1X": "'size=1X'", "size=1M": "'size=1M' is too small", "block=3K": "'block=3K'",
            "codec=rar": "'codec=rar'", "hot=-1": "'hot=-1'", "mode=8": "'mode=8'",
        }
        for option, culprit in cases.items():
            self.assertIn(culprit, self.refused(2, "-o", option, "disk", self.mountpoint))
        self.assertIn("NAME", self.refused(2))
        self.assertIn("a/b", self.refused(2, "a/b", self.mountpoint))
        self.assertIn("--frob", self.refused(2, "--frob", "disk", self.mountpoint))
        self.assert_clean()

    def test_mount_point_must_be_a_free_directory(self):
        missing = self.mountpoint + "/missing"
        self.assertIn(missing, self.refused(1, "disk", missing))
        write_file(self.mountpoint + ".file", b"")
        self.assertIn("not a directory", self.refused(1, "disk", self.mountpoint + ".file"))
        self.assert_clean()
        self.mount()
        self.assertIn(f"{self.mountpoint} is in use", self.refused(1, "other", self.mountpoint))
        self.assertIn("in use", self.refused(1, "-f", "other", self.mountpoint))
        self.unmount()
        self.assert_clean()

    def test_name_is_taken_once(self):
        self.mount()
        other = self.place.make_mountpoint("other")
        self.assertIn("named disk is mounted already", self.refused(1, "disk", other))
        self.assertIn("named disk is mounted already", self.refused(1, "-f", "disk", other))
        self.assertFalse(self.place.is_mounted(other))
        write_file(os.path.join(self.mountpoint, "a"), b"unharmed")
        self.unmount()
        self.assert_clean()

    def test_missing_device_is_named(self):
        script = 'mount -t tmpfs none /dev && exec "$@"'
        program = os.path.join(self.binaries, "ztmpfs")
        command = ["unshare", "-m", "sh", "-c", script, "sh", program, "disk", self.mountpoint]
        for arguments in (command, [*command, "-f"]):
            result = subprocess.run(arguments, env=self.place.environment, stdin=subprocess.DEVNULL,
                                    capture_output=True, text=True, timeout=mounting.PATIENCE, check=False)
            self.assertEqual(result.returncode, 1, result.stderr)
            self.assertIn("there is no /dev/fuse", result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
        self.assert_clean()


class Files(MountTest):
    def path(self, name):
        return os.path.join(self.mountpoint, name)

    def test_names_and_contents(self):
        self.mount()
        write_file(self.path("a"), b"hello")
        os.rename(self.path("a"), self.path("b"))
        self.assertEqual(read_uncached(self.path("b")), b"hello")
        os.link(self.path("b"), self.path("c"))
        os.symlink("c", self.path("d"))
        self.assertEqual(os.stat(self.path("d")).st_nlink, 2)
        os.mkdir(self.path("dir"))
        os.mkfifo(self.path("dir/fifo"))
        self.assertEqual(sorted(os.listdir(self.mountpoint)), ["b", "c", "d", "dir"])
        with self.assertRaises(OSError) as failure:
            os.rmdir(self.path("dir"))
        self.assertEqual(failure.exception.errno, errno.ENOTEMPTY)
        with self.assertRaises(OSError) as failure:
            write_file(self.path("n" * 256), b"")
        self.assertEqual(failure.exception.errno, errno.ENAMETOOLONG)
        with open(self.path("b"), "rb") as file:
            os.unlink(self.path("b"))
            os.unlink(self.path("c"))
            self.assertEqual(file.read(), b"hello")
        self.unmount()
        self.assert_clean()

    def test_large_file_comes_back_after_sealing(self):
        self.mount()
        rng = random.Random(7)
        data = b"".join(rng.randbytes(rng.randrange(1, 5000)) + b"text " * rng.randrange(2000) for _ in range(1500))
        write_file(self.path("large"), data)
        sealed = mounting.wait_until(lambda: self.place.control("stats")["hot_bytes"] == 0)
        self.assertTrue(sealed, "blocks stay hot")
        self.assertEqual(read_uncached(self.path("large")), data)
        stats = self.place.control("stats")
        self.assertEqual(stats["orig_data_size"], len(data))
        self.assertLess(stats["compr_data_size"], len(data))
        self.assertGreater(os.stat(self.path("large")).st_blocks, 0)
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()

    def test_full_mount_fails_cleanly_and_recovers(self):
        size = 48 * MIB if not self.is_sanitized else 192 * MIB  # sanitized heaps are large, and count
        self.mount(f"size={size}")
        kept = os.urandom(4 * MIB)
        write_file(self.path("kept"), kept)
        written = 0
        with self.assertRaises(OSError) as failure:
            with open(self.path("fill"), "wb", buffering=0) as file:
                while written < 2 * size:
                    written += file.write(os.urandom(MIB))
        self.assertEqual(failure.exception.errno, errno.ENOSPC)
        self.assertGreater(written, 16 * MIB)
        self.assertEqual(read_uncached(self.path("kept")), kept)
        if not self.is_sanitized:
            self.assertLessEqual(self.place.control("stats")["mem_used_total"], size)
        os.unlink(self.path("fill"))
        self.assertTrue(mounting.wait_until(
            lambda: os.statvfs(self.mountpoint).f_bavail * os.statvfs(self.mountpoint).f_frsize > 16 * MIB))
        write_file(self.path("again"), kept)
        self.assertEqual(read_uncached(self.path("again")), kept)
        self.assertTrue(self.place.control("check")["ok"])
        self.unmount()
        self.assert_clean()

    def test_logical_cap_is_what_statfs_tells(self):
        self.mount("size=256M,logical=8M")
        usage = os.statvfs(self.mountpoint)
        self.assertEqual(usage.f_blocks * usage.f_frsize, 8 * MIB)
        with self.assertRaises(OSError) as failure:
            write_file(self.path("zeros"), bytes(16 * MIB))
        self.assertEqual(failure.exception.errno, errno.ENOSPC)
        self.unmount()


class Control(MountTest):
    def test_stats_have_the_keys_of_the_contract(self):
        self.mount()
        write_file(os.path.join(self.mountpoint, "a"), b"x" * 100)
        stats = self.place.control("stats", "disk")
        self.assertLessEqual(STATS_KEYS, set(stats))
        self.assertEqual((stats["files"], stats["directories"], stats["mem_limit"]), (1, 1, 256 * MIB))
        self.assertGreaterEqual(stats["requests"]["CREATE"], 1)
        self.assertEqual(self.place.control("stats", self.mountpoint)["name"], "disk")
        self.unmount()

    def test_list_names_both_processes(self):
        self.mount()
        entry, = self.place.control("list")
        self.assertEqual((entry["name"], entry["mountpoint"]), ("disk", self.mountpoint))
        self.assertEqual(sorted((entry["server_pid"], entry["holder_pid"])),
                         sorted(mounting.processes_of(self.place.directory)))
        self.unmount()
        self.assert_clean()
        self.assertEqual(self.place.control("list"), [])

    def test_curl_works(self):
        self.mount()
        socket = os.path.join(self.place.runtime, "disk.sock")
        try:
            result = subprocess.run(["curl", "-sf", "--unix-socket", socket, "http://localhost/v1/stats"],
                                    capture_output=True, text=True, timeout=mounting.PATIENCE, check=False)
        except FileNotFoundError:
            self.skipTest("no curl here")
        self.assertEqual(result.returncode, 0)
        self.assertIn('"mem_used_total"', result.stdout)
        self.unmount()

    def test_heap_and_image_agree_with_the_outside(self):
        self.mount("size=1G")
        rng = random.Random(11)
        for number in range(60):
            data = b"".join(rng.randbytes(3000) + bytes(1000) for _ in range(1000))
            write_file(os.path.join(self.mountpoint, f"file{number}"), data)
        mounting.wait_until(lambda: self.place.control("stats")["hot_bytes"] == 0)
        time.sleep(1.5)  # the last tick of the housekeeping
        ours = self.place.control("stats")["mem_used_total"]
        outside = self.memory_outside()
        self.assertGreater(outside, 100 * MIB)
        self.assertLess(abs(ours - outside) / outside, 0.05, (ours, outside))
        self.unmount()

    def memory_outside(self):
        entry, = self.place.control("list")
        memfds, anonymous = {}, 0
        for pid in (entry["server_pid"], entry["holder_pid"]):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                path = f"/proc/{pid}/fd/{fd}"
                if os.readlink(path).startswith("/memfd:"):
                    status = os.stat(path)
                    memfds[status.st_ino] = status.st_blocks * 512
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                anonymous += next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) * 1024
        return sum(memfds.values()) + anonymous


class RequestsPerOperation(CountingTest):
    """With warm parents, on a mount of root's that only root may enter (DESIGN: FUSE)."""

    def test_create_write_close_is_three(self):
        self.assert_requests(lambda: self.create("a"), LOOKUP=1, CREATE=1, WRITE=1)

    def test_stat_open_read_again_is_none(self):
        self.create("a")
        os.stat(self.path("a"))
        read_with_syscalls(self.path("a"))
        self.assert_requests(lambda: (os.stat(self.path("a")), read_with_syscalls(self.path("a"))))

    def test_unlink_is_one(self):
        self.create("a")
        self.assert_requests(lambda: os.unlink(self.path("a")), UNLINK=1)

    def test_rename_is_two(self):
        self.create("a")
        self.assertEqual(sum(self.requests(lambda: os.rename(self.path("a"), self.path("b"))).values()), 2)

    def test_mkdir_is_two_and_rmdir_one(self):
        self.assert_requests(lambda: os.mkdir(self.path("dir")), LOOKUP=1, MKDIR=1)
        self.assert_requests(lambda: os.rmdir(self.path("dir")), RMDIR=1)

    def test_truncate_at_open_and_write_is_two(self):
        self.create("a")

        def rewrite():
            fd = os.open(self.path("a"), os.O_WRONLY | os.O_TRUNC)
            os.write(fd, b"new")
            os.close(fd)

        self.assert_requests(rewrite, SETATTR=1, WRITE=1)
        self.assertEqual(read_uncached(self.path("a")), b"new")

    def test_write_aside_and_rename_over_is_five(self):
        self.create("a")

        def replace():
            self.create("a.tmp")
            os.rename(self.path("a.tmp"), self.path("a"))

        self.assertEqual(sum(self.requests(replace).values()), 5)


if __name__ == "__main__":
    mount_case.main(__doc__)
