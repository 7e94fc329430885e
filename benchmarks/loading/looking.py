"""Client like a user's browser: it reads a study that is being written, its newest run, and all studies."""

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
"""Seconds between two requests for news, as a page's scripts send them."""


@dataclass(frozen=True)
class Waits:
    """Response times of one kind of answer.

    Attributes:
        answers: their number.
        median_ms, p99_ms, worst_ms: statistics of their times.
    """

    answers: int
    median_ms: float
    p99_ms: float
    worst_ms: float


def waits(seconds: list[float]) -> Waits:
    """Summarizes response times in four numbers."""
    median, p99, worst = 1e3 * np.quantile(seconds, [0.5, 0.99, 1.0])
    return Waits(len(seconds), float(median), float(p99), float(worst))


class Watching(threading.Thread):
    """A page of a study that stays open, one of the run that trains, and the list of all studies.

    Each requests news once a second. Every ten seconds a page is opened again, and the run that trains by
    then is read, with a part of its curve.

    Args:
        port: the port of the dashboard.
        study: the number of the study.

    Attributes:
        visitor: the client, with the time of every answer.
        failures: descriptions of failed requests.
    """

    def __init__(self, port: int, study: int) -> None:
        super().__init__(name="a user's browser", daemon=True)
        self.visitor = Visitor(port)
        self.failures: list[str] = []
        self._study, self._ending = study, threading.Event()
        self._versions: dict[tuple[int, int], int] = {}
        self._board: dict[str, Any] = {}
        self._run: dict[str, Any] = {}
        self._all = 0  # the cursor of the page of all studies

    def run(self) -> None:
        """Sends requests until ``end`` is called."""
        count = 0
        while not self._ending.is_set():
            started = time.monotonic()
            self._try(self._open if count % 10 == 0 else self._ask)
            count += 1
            self._ending.wait(max(0.0, EVERY - (time.monotonic() - started)))

    def end(self) -> None:
        """Requests news once more, and ends."""
        self._ending.set()
        self.join()
        self._try(self._ask)

    def missed(self, store: str) -> int:
        """Counts the trials of the study whose last version the page did not receive."""
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
        """Keeps the version of each trial that the page received."""
        columns = self._board["board"]["columns"]
        stage, number, version = (columns.index(name) for name in ("stage", "number", "version"))
        self._versions |= {(row[stage], row[number]): row[version] for row in rows}


def resident(pid: int, what: str = "VmRSS") -> float:
    """Reads the resident memory of a process in MiB, with VmHWM its maximum; 0 if the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:")), 0.0)


class Sizes:
    """Sizes that are sampled during the measurement.

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
        """Samples the sizes."""
        self.writers.append(max(map(resident, living), default=0.0))
        self.dashboard.append(resident(self._dashboard))
        if self._log.exists():
            self.log.append(os.stat(self._log).st_size / 2**20)


def early(values: list[float]) -> float:
    """Returns the maximum of the second tenth of some values: the level after all processes have started."""
    tenth = max(1, len(values) // 10)
    return max(values[tenth : 2 * tenth] or values)
