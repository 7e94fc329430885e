"""The command center of ``babysit dashboard``."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from babysit.records import Explosion, Reading, Result, Run, Stage, State, Trial
from babysit.store.writer import Writer
from benchmarks.peers.boards.runs import EPOCHS, PENALTIES, POINTS, RATES, STEPS, Drawn, News

STORE = "babysit.sqlite"


class BabysitBoard:
    """One study with one stage."""

    name = "babysit"
    package = "babysit"
    path = "/s/1"
    drawn = """
        const sparks = all("#rows .spark path:first-child[d]");
        const dots = all("#plane .points path:not(.rim, .alive, .best)");
        const points = dots.reduce((sum, path) => sum + path.getAttribute("d").split("M").length - 1, 0);
        return sparks.length >= Math.min(15, runs) && points >= runs;
    """
    waited_for = "table with 15 sparklines and a scatter plot with every run, on one page"
    beforehand = ""

    def author(self, folder: Path) -> BabysitAuthor:
        """Writes as a search does."""
        return BabysitAuthor(folder)

    def command(self, folder: Path, port: int) -> list[str]:
        """The command line's own."""
        return [
            *(sys.executable, "-m", "babysit", "dashboard", "--no-open"),
            *("--store", str(folder / STORE), "--port", str(port)),
        ]

    def loaded(self, url: str, runs: int) -> bool:
        """It reads the store for every page."""
        with urlopen(f"{url}/healthz") as reply:
            return bool(reply.status == 200)


class BabysitAuthor:
    """Writer of a search; unfinished runs stay open in it."""

    def __init__(self, folder: Path) -> None:
        self._writer = Writer(str(folder / STORE))
        self._study = 0

    def write(self, runs: list[Drawn]) -> None:
        """All runs, those that have ended as ended."""
        budget = ["coarse", len(runs), 2 * EPOCHS]
        self._study = self._writer.begin_study(
            name="benchmark",
            recipe="cifar10",
            kind="search",
            seed=0,
            fingerprint="benchmark",
            settings={"settings": [], "loss": "softmax", "val_examples": 1000, "stages": [budget]},
        )
        box = {"learning_rate": _range(*RATES), "l2": _range(*PENALTIES)}
        self._writer.begin_stage(self._study, Stage(0, "coarse", box, len(runs), 2 * EPOCHS, "as asked"))
        self._writer.begin_trials(self._study, [trial_of(run) for run in runs])
        for batch in (runs[first : first + 200] for first in range(0, len(runs), 200)):
            for run in batch:
                self._tell(run, 1, POINTS, range(1, EPOCHS + 1))
            self._writer.finish_trials(self._study, [_ended(run) for run in batch if run.state != "running"])
        self._writer.flush()

    def change(self, news: list[News]) -> None:
        """One more epoch each."""
        for one in news:
            self._tell(one.run, one.first, one.last, [one.epoch])
        self._writer.flush()

    def close(self) -> None:
        """The study stays as one that runs."""
        self._writer.close()

    def _tell(self, run: Drawn, first: int, last: int, epochs: range | list[int]) -> None:
        steps, costs = np.arange(first, last + 1), run.costs(first, last)
        parts = zip(
            epochs, np.array_split(steps, len(epochs)), np.array_split(costs, len(epochs)), strict=True
        )
        for epoch, at, cost in parts:
            told = _reading(run, epoch, int(at[-1]), float(cost[-1]))
            self._writer.epoch(self._study, trial_of(run), told, at, cost)


def trial_of(run: Drawn) -> Trial:
    """A run as a trial of the one stage."""
    return Trial(0, run.number, {"learning_rate": run.learning_rate, "l2": run.l2})


def _range(low: float, high: float) -> dict[str, object]:
    return {"kind": "log_uniform", "low": low, "high": high, "log": True}


def _reading(run: Drawn, epoch: int, step: int, cost: float) -> Reading:
    accuracy = run.accuracy(epoch)
    return Reading(epoch, step, cost, accuracy + 0.03, accuracy, run.learning_rate, cost)


def _ended(run: Drawn) -> Result:
    costs = run.costs(1, POINTS)
    if run.state == "exploded":
        told = Explosion(POINTS, EPOCHS, float(costs[-1]), float(costs[0]))
        return Result(trial_of(run), Run(State.EXPLODED, (), float(costs[0]), told, 20.0, POINTS))
    readings = tuple(
        _reading(run, epoch, epoch * STEPS, float(costs[epoch * STEPS - 1])) for epoch in range(1, EPOCHS + 1)
    )
    return Result(trial_of(run), Run(State.COMPLETE, readings, float(costs[0]), None, 20.0, POINTS))
