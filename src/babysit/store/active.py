"""Runs that are being written: what is known of them, what is not committed yet, and the rows for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from babysit.records import Finding, Reading, Result, Run, State
from babysit.store.points import CHUNK_POINTS, to_chunks, to_single, to_spark
from babysit.store.rows import Values, finding_values, reading_values, summary_values
from babysit.store.schema import findings, meta, readings, run_summary, series

COST = "cost"
"""The name of the series of mini-batch costs."""


class ActiveRun:
    """One unfinished run: all its points, and how much of it is committed.

    Args:
        trial: the trial's row.
    """

    def __init__(self, trial: int) -> None:
        self.trial = trial
        self.readings: list[Reading] = []
        self.committed_readings = 0
        self.first_cost = np.nan
        self._steps: list[NDArray[np.int32]] = []
        self._costs: list[NDArray[np.float32]] = []
        self._committed_chunks = 0

    def add(self, reading: Reading, steps: ArrayLike, costs: ArrayLike) -> None:
        """Appends one epoch."""
        self.readings.append(reading)
        self.add_costs(steps, costs)

    def add_costs(self, steps: ArrayLike, costs: ArrayLike) -> None:
        """Appends costs that no reading belongs to: those of an epoch that an explosion cut short."""
        new = to_single(costs)
        if not self._costs and len(new):
            self.first_cost = float(np.asarray(costs)[0])
        self._steps.append(np.asarray(steps, dtype=np.int32))
        self._costs.append(new)

    @property
    def pending(self) -> list[Reading]:
        """The readings that are not committed."""
        return self.readings[self.committed_readings :]

    @property
    def spark(self) -> bytes:
        """The sparkline of all costs so far."""
        return to_spark(self._series()[1])

    @property
    def run(self) -> Run:
        """The run as far as it is known."""
        steps = self.readings[-1].step if self.readings else 0
        return Run(State.RUNNING, tuple(self.readings), first_cost=self.first_cost, steps=steps)

    def chunk_values(self) -> list[Values]:
        """The rows of the chunks that are new or have grown since the last commit."""
        chunks = to_chunks(*self._series(), start=self._committed_chunks)
        names = ("chunk", "first_step", "last_step", "count", "points")
        return [
            {"trial": self.trial, "name": COST, **dict(zip(names, chunk, strict=True))} for chunk in chunks
        ]

    def mark_committed(self) -> None:
        """Everything added so far is on disk; the last chunk may still grow."""
        self.committed_readings = len(self.readings)
        self._committed_chunks = len(self._series()[0]) // CHUNK_POINTS

    def _series(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        # Joined once and kept joined, so that a long run is not copied piece by piece at every epoch.
        self._steps = [np.concatenate([np.empty(0, dtype=np.int32), *self._steps])]
        self._costs = [np.concatenate([np.empty(0, dtype=np.float32), *self._costs])]
        return self._steps[0], self._costs[0]


def save_progress(connection: Connection, runs: Sequence[ActiveRun]) -> None:
    """Writes what is pending of unfinished runs."""
    new_readings = [row for run in runs for row in reading_values(run.trial, run.pending)]
    replace(connection, readings, ("trial", "epoch"), new_readings)
    chunks = [row for run in runs for row in run.chunk_values()]
    replace(connection, series, ("trial", "name", "chunk"), chunks)
    save_summaries(connection, {run.trial: summary_values(run.run, run.spark) for run in runs})


def save_finished(
    connection: Connection,
    results: Mapping[int, Result],
    active: Mapping[int, ActiveRun],
    found: Mapping[tuple[int, int], Sequence[Finding]],
) -> None:
    """Writes finished runs whole: the final state, every reading, the rest of the series, the findings."""
    forget(connection, results, (readings, findings))
    rows = [row for trial, result in results.items() for row in reading_values(trial, result.run.readings)]
    append(connection, readings, rows)
    append(connection, findings, _finding_rows(results, found))
    chunks = [row for run in active.values() for row in run.chunk_values()]
    replace(connection, series, ("trial", "name", "chunk"), chunks)
    summaries = {trial: summary_values(result.run, b"") for trial, result in results.items()}
    for trial, summary in summaries.items():
        summary["spark"] = active[trial].spark if trial in active else _stored_spark(connection, trial)
    save_summaries(connection, summaries)


def _finding_rows(
    results: Mapping[int, Result], found: Mapping[tuple[int, int], Sequence[Finding]]
) -> list[Values]:
    return [
        finding_values(trial, position, finding)
        for trial, result in results.items()
        for position, finding in enumerate(found.get(result.trial.key, ()))
    ]


def _stored_spark(connection: Connection, trial: int) -> bytes:
    stored: bytes = connection.execute(
        select(run_summary.c.spark).where(run_summary.c.trial == trial)
    ).scalar_one()
    return stored


def save_summaries(connection: Connection, summaries: Mapping[int, Values]) -> None:
    """Rewrites summary rows, giving each the next version: the cursor by which readers see what changed."""
    if not summaries:
        return
    versions = next_versions(connection, len(summaries))
    rows = [
        {**values, "version": version, "_trial": trial}
        for version, (trial, values) in zip(versions, summaries.items(), strict=True)
    ]
    columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "_trial"}
    where = run_summary.c.trial == bindparam("_trial")
    connection.execute(update(run_summary).where(where).values(columns), rows)


def next_versions(connection: Connection, count: int) -> Iterable[int]:
    """The next version numbers; the row that counts them also makes writers take turns."""
    mine = meta.c.name == "last_version"
    connection.execute(update(meta).where(mine).values(value=meta.c.value + count))
    last: int = connection.execute(select(meta.c.value).where(mine)).scalar_one()
    return range(last - count + 1, last + 1)


def append(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows, if there are any."""
    if rows:
        connection.execute(insert(table), rows)


def replace(
    connection: Connection, table: Table, key: tuple[str, ...], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Inserts rows, taking the place of those with the same key."""
    if rows:
        where = [table.c[name] == bindparam(f"_{name}") for name in key]
        keys = [{f"_{name}": row[name] for name in key} for row in rows]
        connection.execute(delete(table).where(*where), keys)
        connection.execute(insert(table), rows)


def forget(connection: Connection, trials: Iterable[int], tables: Sequence[Table]) -> None:
    """Deletes all rows of some trials."""
    keys = [{"_trial": trial} for trial in trials]
    for table in tables if keys else ():
        connection.execute(delete(table).where(table.c.trial == bindparam("_trial")), keys)
