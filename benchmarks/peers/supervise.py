"""Runs a command, measures it with everything it starts, and leaves no process behind.

    python -m benchmarks.peers.supervise REPORT TIMEOUT NETWORK COMMAND...

It adopts orphans (Linux: a "child subreaper"), so daemons that a cluster leaves are counted, and ended.
NETWORK is "shared", or "own" for one with nothing but a loopback: a server there cannot be reached from
outside, whatever address it is set to listen on.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_NEW_USER, _NEW_NETWORK = 0x1000_0000, 0x4000_0000
_SET_FLAGS, _UP = 0x8914, 0x1
_EVERY = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Runs the command of the arguments."""
    report, timeout, network, command = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]
    _adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if network == "own":
            _leave_network()
        report.write_text(json.dumps(_supervised(command, timeout)))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _end_all()


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)  # ends when the benchmark ends


def _leave_network() -> None:
    """Moves into a network with nothing but a loopback; without root this takes a user namespace, too."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(_NEW_NETWORK) != 0:
        if libc.unshare(_NEW_NETWORK | _NEW_USER) != 0:
            raise OSError(ctypes.get_errno(), "this user may not make a network of its own")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sH14x", b"lo", _UP))


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the cleaning up
    raise KeyboardInterrupt


def _supervised(command: list[str], timeout: float) -> dict[str, object]:
    started, seen, before = time.monotonic(), dict[int, float](), _busy()
    process = subprocess.Popen(command)
    while process.poll() is None and time.monotonic() - started < timeout:
        seen.update(_cpu_of_descendants())
        # Waits for its end rather than for the next look, so that the time is exact.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_EVERY)
    wall, busy = time.monotonic() - started, _busy() - before
    leftovers = _end_all()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A parent that ignores its children's end loses their time; looking at them does not.
    cpu = max(usage.ru_utime + usage.ru_stime, sum(seen.values()))
    return {
        "returncode": process.poll(),  # None when it was ended for its time
        "started": started,
        "wall_seconds": wall,
        "cpu_seconds": cpu,
        "other_cpu_seconds": max(busy - cpu, 0.0),
        "leftovers": leftovers,
    }


def _busy() -> float:
    """CPU seconds that the whole machine has worked since it started, for whomever."""
    user, nice, system, _idle, _wait, *interrupts = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
    return sum(map(int, (user, nice, system, *interrupts))) / _TICKS


def _descendants() -> dict[int, list[str]]:
    """Process id -> the fields of /proc/ID/stat after the name, for everything below this process."""
    stats: dict[int, list[str]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats[int(entry.parent.name)] = entry.read_text().rpartition(")")[2].split()
    below = {os.getpid()}
    for _ in range(len(stats)):
        more = {pid for pid, fields in stats.items() if int(fields[1]) in below} - below
        if not more:
            break
        below |= more
    return {pid: stats[pid] for pid in below - {os.getpid()} if pid in stats}


def _cpu_of_descendants() -> dict[int, float]:
    return {pid: (int(fields[11]) + int(fields[12])) / _TICKS for pid, fields in _descendants().items()}


def _end_all(patience: float = 5.0) -> int:
    """Ends whatever is left, politely and then not; returns how many processes there were.

    What ends by itself, now that its parent has (Python's resource tracker, a closing pool), is not left.
    """
    _wait_for_none(patience)
    found = _living()
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        _wait_for_none(patience)
    _reap()
    return len(found)


def _wait_for_none(patience: float) -> None:
    deadline = time.monotonic() + patience
    while _living() and time.monotonic() < deadline:
        time.sleep(0.02)


def _living() -> list[int]:
    _reap()
    return [pid for pid, fields in _descendants().items() if fields[0] != "Z"]


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
