"""Rounds of kills: processes that are killed until they end by themselves, and readers."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from babysit.records import State
from babysit.store.writer import Writer
from benchmarks.killing.looking import Counts, Place, Runs, Tell, changed, checked_files
from benchmarks.killing.processes import PATIENCE, Ended, Process, strike
from benchmarks.killing.working import WRITTEN, Work, made, read, write

UNKILLED, KILLED = 4, 8
"""After this number of ends, or kills, in a row the duration of a process is measured again: on a machine
that is now less busy kills would come too late, on a busier one always too early."""

NOTICED = "WorkerError"
"""The error of a search whose worker was killed."""


class Killing:
    """Killing of one kind of process, as often as required.

    Args:
        work: the work of the process.
        root: the folder of the rounds' folders.
        store: a server's URL; "" for a file in each round's folder.
        chance: the random generator of the moments.
        tell: called after each kill with the counts so far.
        kill: the function that kills.
    """

    def __init__(
        self,
        work: Work,
        root: Path,
        store: str,
        chance: random.Random,
        tell: Tell,
        kill: Callable[[Process, float], Ended] = strike,
    ) -> None:
        self.counts = Counts()
        self._work, self._root, self._store, self._chance = work, root, store, chance
        self._tell, self._kill, self._kind = tell, kill, work.__name__
        self._tag = f"{os.getpid()}-{self._kind}"
        self._measured = self._unkilled = self._killed = 0
        self._states = self._undisturbed()

    def _undisturbed(self) -> list[State]:
        """Measures the duration of a process that is not killed; returns the states of its trials."""
        place = self._place(f"undisturbed-{self._measured}")
        before = time.monotonic()
        ended = strike(Process(self._work, place), 600)
        self._seconds = time.monotonic() - before
        self._measured += 1
        self._unkilled = self._killed = 0
        if ended.killed or ended.code:
            raise SystemExit(f"{self._kind} fails undisturbed: {_errors(place)}")
        return sorted(Runs(place).states.values())

    def _place(self, name: str) -> Place:
        folder = self._root / f"{self._tag}-{name}"
        return Place(folder, self._store or str(folder / "runs.sqlite"), f"{self._tag}-{name}")

    def run(self, kills: int) -> Counts:
        """Runs rounds until the number of kills is reached."""
        for number in itertools.count():
            if self.counts.kills >= kills:
                break
            self.counts.rounds += self._round(self._place(str(number)), kills)
        return self.counts

    def _round(self, place: Place, kills: int) -> bool:
        """Kills until the process ends by itself, and tells whether it did."""
        before = Runs(place)
        while self.counts.kills < kills:
            if self._unkilled >= UNKILLED or self._killed >= KILLED:
                self._undisturbed()
            ended = self._kill(Process(self._work, place), self._chance.uniform(0, self._seconds))
            now = Runs(place)
            self.counts.kills += ended.killed
            self._unkilled = 0 if ended.killed else self._unkilled + 1
            self._killed = self._killed + 1 if ended.killed else 0
            self._check(place, before, now, ended.reported)
            if ended.wrong:
                self._break(ended.wrong)
            self._tell(self.counts)
            if ended.code == 0 and not (ended.killed and self._kill is strike):
                self._check_end(now)
                return True
            if not self._expected(ended, place):
                self._break(f"ended with {ended.code}: {_errors(place)}")
                return False
            before = now
            if self._work is write:  # each writer starts a new study
                return False
        if self._work is not write:
            self._come_to_its_end(place, before)
        return self._work is not write

    def _come_to_its_end(self, place: Place, before: Runs) -> None:
        """Checks that the interrupted work can be finished without further kills."""
        ended = strike(Process(self._work, place), 600)
        now = Runs(place)
        self._check(place, before, now, ended.reported)
        if ended.killed or ended.code:
            self._break(f"it does not come to its end after the last kill: {_errors(place)}")
        else:
            self._check_end(now)

    def _expected(self, ended: Ended, place: Place) -> bool:
        """Tells whether a process ended as expected after a kill of it, or of its worker."""
        if self._kill is strike:
            return ended.killed
        return ended.killed and _errors(place).startswith(NOTICED)

    def _check(self, place: Place, before: Runs, now: Runs, reported: list[int]) -> None:
        self.counts.finished += len(now.finished)
        for fault in [*now.broken, *changed(before, now)]:
            self._break(fault)
        there = {number: run for (_, _, number), (run, _) in now.finished.items()}
        for number in reported:
            if there.get(number) != repr(made(number)):
                self._break(f"trial {number} was committed and is lost")
        self.counts.files += checked_files(place.folder, self.counts.broken)

    def _check_end(self, now: Runs) -> None:
        if self._kind in ("search", "workers") and sorted(now.states.values()) != self._states:
            self._break("a search that was killed has other trials than one that was not")
        if self._kind == "train" and State.COMPLETE not in now.states.values():
            self._break("a training that was killed did not complete")

    def _break(self, promise: str) -> None:
        self.counts.broken.append(promise)


def _errors(place: Place) -> str:
    return (place.folder / "errors.txt").read_text()


def killed_readers(root: Path, store: str, chance: random.Random, kills: int, tell: Tell) -> Counts:
    """Kills readers beside a writer that is not killed and must finish each time."""
    counts = Counts()
    while counts.kills < kills:
        folder = root / f"read-{counts.rounds}"
        place = Place(folder, store or str(folder / "runs.sqlite"), f"{os.getpid()}-read-{counts.rounds}")
        folder.mkdir()
        Writer(place.store).close()
        writer = Process(write, place)
        while counts.kills < kills and writer.poll() is None:
            strike(Process(read, replace(place, folder=root / "reader")), chance.uniform(0, 0.3))
            counts.kills += 1
        writer.wait(PATIENCE)
        reported, now = writer.reported(), Runs(place)
        counts.finished += len(now.finished)
        counts.broken += now.broken
        if len(reported) != WRITTEN or len(now.finished) != WRITTEN:
            counts.broken.append(f"a writer beside killed readers finished {len(now.finished)} of {WRITTEN}")
        counts.rounds += 1
        tell(counts)
    return counts
