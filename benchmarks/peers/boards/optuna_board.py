"""Optuna Dashboard on a study in SQLite, with every cost as an intermediate value."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.peers.boards.runs import EPOCHS, PENALTIES, POINTS, RATES, Drawn, News

STORAGE = "optuna.sqlite3"


class OptunaBoard:
    """The study's page."""

    name = "Optuna Dashboard"
    package = "optuna-dashboard"
    path = "/dashboard/studies/1"
    drawn = """
        return all("#plot-history .scatterlayer .points path").length >= complete;
    """
    waited_for = "the history plot with every completed trial (its table of trials is another page)"
    beforehand = ""

    def author(self, folder: Path) -> OptunaAuthor:
        """Writes a storage."""
        return OptunaAuthor(folder)

    def command(self, folder: Path, port: int) -> list[str]:
        """As it ships."""
        return [
            str(Path(sys.executable).with_name("optuna-dashboard")),
            *(f"sqlite:///{folder / STORAGE}", "--host", "127.0.0.1", "--port", str(port)),
        ]

    def loaded(self, url: str, runs: int) -> bool:
        """It keeps the trials in memory once they were read."""
        with urlopen(f"{url}/api/studies/1?after=0") as reply:
            return len(json.load(reply)["trials"]) == runs


class OptunaAuthor:
    """Trials by Optuna's storage; their costs, a million rows, straight into its table."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / STORAGE
        self._trials: dict[int, int] = {}
        self._storage: Any = None

    def write(self, runs: list[Drawn]) -> None:
        """All runs, those that have ended as ended."""
        import optuna
        from optuna.storages import RDBStorage

        optuna.logging.disable_default_handler()
        self._storage = RDBStorage(f"sqlite:///{self._path}")
        study = self._storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE], "benchmark")
        for run in runs:
            self._trials[run.number] = self._storage.create_new_trial(study, _frozen(run))
        self._costs([(run, 1, POINTS) for run in runs])

    def change(self, news: list[News]) -> None:
        """One more epoch each."""
        self._costs([(one.run, one.first, one.last) for one in news])

    def close(self) -> None:
        """Lets go of the file."""
        if self._storage is not None:
            self._storage.remove_session()

    def _costs(self, told: list[tuple[Drawn, int, int]]) -> None:
        rows = (
            (self._trials[run.number], step, cost, "FINITE")
            for run, first, last in told
            for step, cost in enumerate(run.costs(first, last).tolist(), start=first)
        )
        columns = "trial_id, step, intermediate_value, intermediate_value_type"
        connection = sqlite3.connect(self._path, timeout=60)
        with connection:
            connection.executemany(
                f"insert into trial_intermediate_values ({columns}) values (?, ?, ?, ?)", rows
            )
        connection.close()


def _frozen(run: Drawn) -> Any:
    from optuna.distributions import FloatDistribution
    from optuna.trial import TrialState, create_trial

    states = {"running": TrialState.RUNNING, "complete": TrialState.COMPLETE, "exploded": TrialState.FAIL}
    return create_trial(
        state=states[run.state],
        value=run.accuracy(EPOCHS) if run.state == "complete" else None,
        params={"learning_rate": run.learning_rate, "l2": run.l2},
        distributions={
            "learning_rate": FloatDistribution(*RATES, log=True),
            "l2": FloatDistribution(*PENALTIES, log=True),
        },
    )
