"""Processes that are forked, killed and waited for."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.killing.looking import Place
from benchmarks.killing.working import Work
from benchmarks.peers.boards.serving import family_of

PATIENCE = 120.0
"""Time limit to notice that a required process is gone, in seconds."""


class Ended(NamedTuple):
    """End of a process.

    Attributes:
        killed: whether it was killed before its end.
        code: its exit code.
        reported: the trials that it knew to be finished.
        wrong: a violation, in words.
    """

    killed: bool
    code: int
    reported: list[int]
    wrong: str = ""


class Process:
    """A forked process.

    Args:
        work: what it does.
        place: the folder, store and name of the round.
    """

    def __init__(self, work: Work, place: Place) -> None:
        self._listening, telling = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(telling)
            self._code: int | None = None
            return
        os.close(self._listening)
        _do(work, place, telling)

    def poll(self) -> int | None:
        """Returns its exit code; None while it runs."""
        if self._code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if done else None
        return self._code

    def wait(self, seconds: float) -> bool:
        """Waits for its end, and tells whether it came in time."""
        deadline = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.poll() is not None

    def send(self, what: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal; after SIGKILL it waits for the end."""
        if self.poll() is None:
            os.kill(self.pid, what)
        if what is signal.SIGKILL:
            self.wait(PATIENCE)

    def reported(self) -> list[int]:
        """Reads the trials that it knew to be finished; to be called once, after its end."""
        with os.fdopen(self._listening, "rb") as pipe:
            found = pipe.read()
        return [int.from_bytes(found[at : at + 2], "big") for at in range(0, len(found) - 1, 2)]


def _do(work: Work, place: Place, telling: int) -> None:
    """Runs the work in the forked process, and exits."""
    code = 1
    try:
        place.folder.mkdir(exist_ok=True)
        with (place.folder / "errors.txt").open("w") as errors:
            os.dup2(errors.fileno(), 2)
            work(place, telling)
        code = 0
    except BaseException as error:
        (place.folder / "errors.txt").write_text(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def strike(process: Process, seconds: float) -> Ended:
    """Kills a process after a time, unless it has ended."""
    ended = process.wait(seconds)
    if not ended:
        process.send()
    return Ended(not ended, process.poll() or 0, process.reported())


def strike_worker(process: Process, seconds: float) -> Ended:
    """Kills one of the worker processes of a search after a time, or as soon as there is one.

    The search must end by itself, say why, and leave no worker behind.
    """
    process.wait(seconds)
    struck, workers = 0, set[int]()
    while not struck and process.poll() is None:
        now = {pid for pid in family_of(process.pid) if _is_worker(pid)}
        workers |= now
        if now:
            struck = sorted(now)[int(1e6 * seconds) % len(now)]
            with suppress(ProcessLookupError):
                os.kill(struck, signal.SIGKILL)
        time.sleep(0.02)
    wrong = ""
    if not process.wait(PATIENCE):
        wrong = f"a search did not notice in {PATIENCE:.0f} s that its worker was killed"
        process.send()
    return Ended(bool(struck), process.poll() or 0, process.reported(), wrong or _left(workers - {struck}))


def _left(workers: set[int]) -> str:
    """Returns a complaint if workers still run after their search."""
    deadline = time.monotonic() + 10
    while any(map(_is_worker, workers)):
        if time.monotonic() > deadline:
            return "a worker lives on after its search"
        time.sleep(0.01)
    return ""


def _is_worker(pid: int) -> bool:
    """Tells whether a process is a live worker, not the resource tracker of multiprocessing."""
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()  # empty for a dead process
    return False
