"""Medians over the rounds, ratios between the file systems, and the bars the project set itself."""

import os
import platform
import statistics
import subprocess
import sys

from . import commands

# (workload, peer, what): "time" = our time / peer's time at most; "speed" = our speed / peer's speed at least.
BARS = (
    ("build", "tmpfs", "time", 1.10),
    ("unpack", "tmpfs", "time", 5.0),
    ("seq-write", "zram", "speed", 0.9),
    ("seq-read-cold", "zram", "speed", 1.0),
    ("stat-warm", "tmpfs", "time", 1.2),
    ("open-read-warm", "tmpfs", "time", 1.2),
)
# Requests per operation at most, on a mount of root's without allow_other.
REQUEST_BARS = {"create": 3, "stat-warm": 0, "open-read-warm": 0, "rewrite": 2, "replace": 5, "rename": 2,
                "unlink": 1, "mkdir": 2, "rmdir": 1}


def first_line(arguments):
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "not installed"
    return (done.stdout or done.stderr).splitlines()[0] if done.stdout or done.stderr else "unknown"


def idle_polling():
    """How long an idle CPU of a virtual machine waits awake; with 0, waking the other side of a request is slow."""
    path = "/sys/module/haltpoll/parameters/guest_halt_poll_ns"
    return f", guest_halt_poll_ns {commands.read_text(path)}" if os.path.exists(path) else ""


def header(file_systems, notes):
    """What a reader needs to judge the figures: machine, versions, command line."""
    memory = next(line.split()[1] for line in commands.read_text("/proc/meminfo").splitlines()
                  if line.startswith("MemTotal"))
    lines = [
        f"command:  {' '.join(sys.argv)}",
        f"machine:  Linux {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs, "
        f"{int(memory) // 1024} MiB RAM, load {os.getloadavg()[0]:.2f}{idle_polling()}",
        f"commit:   {first_line(['git', '-C', os.path.dirname(__file__), 'describe', '--always', '--dirty'])}",
        f"tools:    {first_line(['cc', '--version'])}; {first_line(['tar', '--version'])}; "
        f"{first_line(['make', '--version'])}",
    ]
    lines += [f"{name + ':':9} {peer.describe()}" for name, peer in file_systems.items()]
    return lines + [f"note:     {note}" for note in notes]


def format_time(seconds):
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e6:.2f} us"


def whole(name):
    """Workloads over a tree or a stream are stated as a whole, not per entry."""
    return name in ("unpack", "walk-warm", "walk-cold", "grep-warm", "grep-cold", "copy", "delete", "build",
                    "seq-write", "seq-read-cold")


def times_of(name, samples):
    return [sample.seconds if whole(name) else sample.seconds / sample.operations for sample in samples]


def cell(name, samples):
    times = times_of(name, samples)
    return f"{format_time(statistics.median(times))} ({format_time(min(times))}-{format_time(max(times))})"


def ratio(name, results, peer):
    """Our median time divided by the peer's, or None."""
    ours, theirs = results.get(name, {}).get("ztmpfs"), results.get(name, {}).get(peer)
    if not ours or not theirs:
        return None
    return statistics.median(times_of(name, ours)) / statistics.median(times_of(name, theirs))


def print_table(title, columns, rows):
    widths = [max(len(str(row[k])) for row in [columns, *rows]) for k in range(len(columns))]
    print(f"\n{title}")
    for row in [columns, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(str(value).ljust(width) for value, width in zip(row, widths)) + " |")


def print_times(results, peers):
    rows = []
    for name, by_peer in results.items():
        row = [name] + [cell(name, by_peer[peer]) if by_peer.get(peer) else "-" for peer in peers]
        for peer in ("tmpfs", "zram"):
            value = ratio(name, results, peer)
            row.append(f"{value:.2f}" if value is not None else "-")
        rows.append(row)
    print_table("Time: median (min-max); ratios are ztmpfs / peer, smaller is better",
                ["workload", *peers, "/ tmpfs", "/ zram"], rows)


def print_memory(results, peers):
    rows = []
    for name, by_peer in results.items():
        values = {peer: statistics.median(s.memory for s in samples) for peer, samples in by_peer.items()
                  if samples and samples[0].memory is not None}
        if values:
            rows.append([name] + [f"{values[peer] / 2**20:.1f}" if peer in values else "-" for peer in peers])
    if rows:
            print_table("Memory after the workload, settled, MiB (ztmpfs: all of the mount's, free spans too; "
                    "tmpfs: used; zram: mem_used_total)", ["workload", *peers], rows)


def requests_per_operation(samples):
    return statistics.median(sum(s.requests.values()) / s.operations for s in samples)


def print_requests(results):
    rows = []
    for name, by_peer in results.items():
        samples = by_peer.get("ztmpfs")
        if not samples:
            continue
        kinds = sorted(samples[-1].requests.items(), key=lambda item: -item[1])[:6]
        rows.append([name, f"{requests_per_operation(samples):.2f}", samples[-1].operations,
                     ", ".join(f"{kind} {count}" for kind, count in kinds)])
    if rows:
        print_table("Requests per operation (tree workloads: per file or folder; build: in all; FORGET not counted)",
                    ["workload", "requests/op", "operations", "by kind, last round"], rows)


def judge(results):
    """Rows (claim, measured, bar, verdict) of every bar that this run can judge."""
    rows = []
    for name, peer, what, bar in BARS:
        value = ratio(name, results, peer)
        if value is None:
            continue
        if what == "time":
            rows.append([f"{name}: time / {peer}", f"{value:.3f}", f"<= {bar}", value <= bar])
        else:
            rows.append([f"{name}: speed / {peer}", f"{1 / value:.3f}", f">= {bar}", 1 / value >= bar])
    for name, bar in REQUEST_BARS.items():
        samples = results.get(name, {}).get("ztmpfs")
        if samples:
            value = requests_per_operation(samples)
            # A hundredth: the first operation of a loop may look up the folder itself.
            rows.append([f"{name}: requests", f"{value:.3f}", f"<= {bar}", value <= bar + 0.01])
    return rows


def print_bars(rows):
    if rows:
        print_table("Bars", ["claim", "measured", "bar", ""],
                    [[*row[:3], "PASS" if row[3] else "FAIL"] for row in rows])
