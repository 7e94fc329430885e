"""Somebody with a browser: looks at a study that is being written, at its newest run, at all studies."""

from __future__ import annotations

import http.client
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babysit.store import queries
from babysit.store.reader import Reader
from benchmarks.visiting import RefusedError, Visitor, digests

EVERY = 1.0
"""Seconds between two questions of a page for what is new, as its scripts ask."""


@dataclass(frozen=True)
class Waits:
    """How long one kind of answer took.

    Attributes:
        answers: how many there were.
        median_ms, p99_ms, worst_ms: of their times.
    """

    answers: int
    median_ms: float
    p99_ms: float
    worst_ms: float


def waits(seconds: list[float]) -> Waits:
    """Many times in four numbers."""
    median, p99, worst = 1e3 * np.quantile(seconds, [0.5, 0.99, 1.0])
    return Waits(len(seconds), float(median), float(p99), float(worst))


class Watching(threading.Thread):
    """A page of a study that stays open, one of the run that trains, and the list of all studies.

    Each asks once a second for what is new. Every ten seconds a page is opened anew, and the run that trains
    by then is looked at, with a part of its curve.

    Args:
        port: of the dashboard.
        study: the study that is looked at.

    Attributes:
        visitor: who asks, with the time that every answer took.
        failures: answers that were none, in words.
    """

    def __init__(self, port: int, study: int) -> None:
        super().__init__(name="somebody with a browser", daemon=True)
        self.visitor = Visitor(port)
        self.failures: list[str] = []
        self._study, self._ending = study, threading.Event()
        self._versions: dict[tuple[int, int], int] = {}
        self._board: dict[str, Any] = {}
        self._run: dict[str, Any] = {}
        self._all = 0  # the cursor of the page of all studies

    def run(self) -> None:
        """Looks until told to end."""
        count = 0
        while not self._ending.is_set():
            started = time.monotonic()
            self._try(self._open if count % 10 == 0 else self._ask)
            count += 1
            self._ending.wait(max(0.0, EVERY - (time.monotonic() - started)))

    def end(self) -> None:
        """Asks once more, and ends."""
        self._ending.set()
        self.join()
        self._try(self._ask)

    def missed(self, store: str) -> int:
        """Trials of the study whose last version the page was not told."""
        with Reader(store) as reader:
            there = {one.key: one.version for one in queries.run_summaries(reader, self._study)}
        return sum(self._versions.get(key) != version for key, version in there.items())

    def _try(self, look: Any) -> None:
        try:
            look()
        except (OSError, http.client.HTTPException, RefusedError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _open(self) -> None:
        ask = self.visitor.ask
        ask("page of all studies", "/")
        if not self._board:  # it stays open; a second visitor's page is only asked for
            _, found = self.visitor.page(f"/s/{self._study}", "page of a study")
            self._board = found["data"]
            self._take(self._board["rows"])
        else:
            ask("page of a study", f"/s/{self._study}")
            self._ask()
        if self._versions:
            stage, number = max(self._versions)
            address = f"/r/{self._study}/{stage}/{number}"
            page, found = self.visitor.page(address, "page of a run")
            self._run = {"address": address, "have": digests(page), **found["run-data"]}
            if "cost" in self.visitor.data("names of a run's series", f"{address}/series/names")["names"]:
                ask("series of a run", f"{address}/series?key=cost&from=0&to=2147483647&px=800")

    def _ask(self) -> None:
        board, data = self._board, self.visitor.data
        if board:
            query = f"study={self._study}&since={board['cursor']}&edition={board['edition']}"
            news = data("news of a study", f"/changes?{query}")
            board["cursor"] = news["cursor"]
            self._take(news.get("rows", []))
        self._all = data("news of all studies", f"/studies?since={self._all}")["cursor"]
        if self._run:
            run = self._run
            news = data("news of a run", f"{run['address']}/changes?since={run['cursor']}&have={run['have']}")
            run["cursor"] = news["cursor"]

    def _take(self, rows: list[list[Any]]) -> None:
        """Remembers the version of each trial that was told."""
        columns = self._board["board"]["columns"]
        stage, number, version = (columns.index(name) for name in ("stage", "number", "version"))
        self._versions |= {(row[stage], row[number]): row[version] for row in rows}


def resident(pid: int, what: str = "VmRSS") -> float:
    """The resident memory of a process in MiB, with VmHWM the largest it had; 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:")), 0.0)


class Sizes:
    """What is read now and then while it goes on.

    Attributes:
        writers, dashboard: the largest resident memory of a writer, and the dashboard's, in MiB, over time.
        log: the size of SQLite's write-ahead log in MiB, over time.
    """

    def __init__(self, store: str, dashboard: int) -> None:
        self.writers: list[float] = []
        self.dashboard: list[float] = []
        self.log: list[float] = [0.0]
        self._log, self._dashboard = Path(f"{store}-wal"), dashboard

    def take(self, living: set[int]) -> None:
        """Reads them."""
        self.writers.append(max(map(resident, living), default=0.0))
        self.dashboard.append(resident(self._dashboard))
        if self._log.exists():
            self.log.append(os.stat(self._log).st_size / 2**20)


def early(values: list[float]) -> float:
    """The largest of the second tenth of some values: what was there once everybody had begun."""
    tenth = max(1, len(values) // 10)
    return max(values[tenth : 2 * tenth] or values)
