"""A dashboard's server and the program that writes for it, each a process of its own; what they cost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.peers.boards.board import Board

PATIENCE = 180.0
"""Seconds that a server has until it answers with all runs."""

_TICKS = os.sysconf("SC_CLK_TCK")


class TooSlowError(Exception):
    """A dashboard does not do within the time given what it is asked for."""


class AuthorProcess:
    """Writes the runs of a dashboard, and changes them when asked to.

    Args:
        name: the dashboard's short name.
        folder: where to.
        runs: how many.

    Attributes:
        seconds: that writing took.
    """

    def __init__(self, name: str, folder: Path, runs: int) -> None:
        command = [sys.executable, "-m", "benchmarks.peers.boards.author", name, str(folder), str(runs)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds = float(self._line())

    def change(self, seconds: int) -> None:
        """Begins to change a tenth of the runs each second, as urgently as this program itself."""
        assert self._process.stdin is not None
        os.sched_setscheduler(self._process.pid, os.sched_getscheduler(0), os.sched_getparam(0))
        print(seconds, file=self._process.stdin, flush=True)

    def changed(self) -> float:
        """Waits until that is done: how many runs changed in a second."""
        return float(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise TooSlowError(f"the program that writes the runs ended with {self._process.wait()}")


class Served:
    """A running server.

    Attributes:
        url: its address.
        to_port, to_data: seconds from its start until the port was open, and until it answered with all runs.
    """

    def __init__(self, process: subprocess.Popen[bytes], url: str, to_port: float, to_data: float) -> None:
        self._process, self.url, self.to_port, self.to_data = process, url, to_port, to_data

    @property
    def pid(self) -> int:
        """The number of its process."""
        return self._process.pid

    def processor_seconds(self) -> float:
        """Of the server and the processes it has started."""
        return sum(map(_seconds_of, family_of(self._process.pid)))

    def memory(self) -> int:
        """Resident bytes of the same."""
        return sum(map(_memory_of, family_of(self._process.pid)))


@contextmanager
def served(board: Board, folder: Path, runs: int) -> Iterator[Served]:
    """A dashboard of the runs in a folder; it is ended on leaving.

    Raises:
        TooSlowError: it does not answer with all runs in time.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            board.command(folder, port), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        try:
            _wait(process, lambda: _is_open(port))
            to_port = time.perf_counter() - started
            _wait(process, lambda: board.loaded(url, runs))
            yield Served(process, url, to_port, time.perf_counter() - started)
        finally:
            _end(process)


def free_port() -> int:
    """Finds an unused port."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def _wait(process: subprocess.Popen[bytes], done: object) -> None:
    assert callable(done)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise TooSlowError(f"the server ended with {process.returncode}")
        with suppress(OSError, ValueError, KeyError):
            if done():
                return
        time.sleep(0.01)
    raise TooSlowError(f"the server did not answer with all runs in {PATIENCE:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    family = family_of(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    for pid in family:  # helpers that outlive their parent
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    process.wait()


def family_of(pid: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(_stat(place)[1]), []).append(int(place.parent.name))
    family = [pid]
    for one in family:
        family.extend(parents.get(one, ()))
    return family


def _stat(place: Path) -> list[str]:
    """The fields of a process, from its state on; its name before them may hold anything."""
    return place.read_text().rpartition(")")[2].split()


def _seconds_of(pid: int) -> float:
    with suppress(OSError):
        return sum(map(int, _stat(Path(f"/proc/{pid}/stat"))[11:13])) / _TICKS
    return 0.0


def _memory_of(pid: int) -> int:
    with suppress(OSError):
        return int(_stat(Path(f"/proc/{pid}/stat"))[21]) * os.sysconf("SC_PAGE_SIZE")
    return 0
