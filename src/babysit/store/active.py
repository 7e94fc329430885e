"""Runs that are being written: their uncommitted readings and points, and the rows for these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlalchemy import Connection, bindparam, select, update

from babysit.records import Details, Histogram, Reading, Result, Run, Snapshot, State, TrialKey
from babysit.store.pictures import MOST_HISTOGRAMS, MOST_SNAPSHOTS, Thinned, save_pictures
from babysit.store.points import CHUNK_POINTS, Chunk, SparkBuckets, to_chunks, to_single
from babysit.store.rows import Values, reading_values, summary_values
from babysit.store.schema import (
    findings,
    fold_scores,
    meta,
    readings,
    run_summary,
    series,
    touches,
    verdicts,
)
from babysit.store.statements import append, forget, replace
from babysit.store.verdict_rows import save_verdicts
from babysit.verdicts import Verdict

COST = "cost"
"""The name of the series of mini-batch costs."""

_CHUNK_COLUMNS = ("chunk", "first_step", "last_step", "count", "points")


class _Series:
    """One quantity's points that are not committed, and those of its last chunk, which may still grow."""

    def __init__(self) -> None:
        self._steps: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.float32]] = []
        self._committed_chunks = 0
        self.last_step = 0
        self.has_news = False

    def add(self, steps: ArrayLike, values: ArrayLike) -> None:
        """Appends points, if there are any."""
        if not len(np.asarray(steps)):
            return
        self._steps.append(np.asarray(steps, dtype=np.int32))
        self._values.append(to_single(values))
        self.last_step = int(self._steps[-1][-1])
        self.has_news = True

    def _points(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        steps = np.concatenate([np.empty(0, dtype=np.int32), *self._steps])
        return steps, np.concatenate([np.empty(0, dtype=np.float32), *self._values])

    def chunks(self) -> list[Chunk]:
        """Returns the chunks that are new or have grown since the last commit."""
        new = to_chunks(*self._points()) if self.has_news else []
        return [chunk._replace(position=chunk.position + self._committed_chunks) for chunk in new]

    def mark_committed(self) -> None:
        """Marks all points as committed; full chunks never change again, and are dropped."""
        steps, values = self._points()
        full = len(steps) // CHUNK_POINTS
        self._committed_chunks += full
        kept = full * CHUNK_POINTS
        self._steps, self._values = [steps[kept:].copy()], [values[kept:].copy()]
        self.has_news = False


class ActiveRun:
    """One unfinished run: its readings, the points that are not committed, and a sparkline of all its costs.

    Args:
        trial: the trial's row.
    """

    def __init__(self, trial: int) -> None:
        self.trial = trial
        self.readings: list[Reading] = []
        self.committed_readings = 0
        self.first_cost = np.nan
        self._series: dict[str, _Series] = {COST: _Series()}
        self._spark = SparkBuckets()
        self._histograms: Thinned[Histogram] = Thinned(MOST_HISTOGRAMS)
        self._snapshots: Thinned[Snapshot] = Thinned(MOST_SNAPSHOTS)

    def add(self, reading: Reading, steps: ArrayLike, costs: ArrayLike) -> None:
        """Appends one epoch."""
        self.readings.append(reading)
        self.add_costs(steps, costs)

    def add_costs(self, steps: ArrayLike, costs: ArrayLike) -> None:
        """Appends costs without a reading: those of an epoch that is not finished."""
        if math.isnan(self.first_cost) and len(np.asarray(costs)):
            self.first_cost = float(np.asarray(costs)[0])
        self._series[COST].add(steps, costs)
        self._spark.add(costs)

    def add_details(self, details: Details) -> None:
        """Appends measurements of the layers."""
        for name, (steps, values) in details.series.items():
            self._series.setdefault(name, _Series()).add(steps, values)
        for histogram in details.histograms:
            self._histograms.add(histogram)
        for snapshot in details.snapshots:
            self._snapshots.add(snapshot)

    @property
    def has_new_costs(self) -> bool:
        """True if some costs are not committed."""
        return self._series[COST].has_news

    @property
    def has_news(self) -> bool:
        """True if anything is not committed."""
        pictures = self._histograms.pending or self._snapshots.pending
        return bool(self.pending) or pictures or any(one.has_news for one in self._series.values())

    @property
    def pending(self) -> list[Reading]:
        """The readings that are not committed."""
        return self.readings[self.committed_readings :]

    @property
    def spark(self) -> bytes:
        """The sparkline of all costs so far."""
        return self._spark.to_bytes()

    @property
    def run(self) -> Run:
        """The run so far."""
        steps = max(self.readings[-1].step if self.readings else 0, self._series[COST].last_step)
        return Run(State.RUNNING, tuple(self.readings), first_cost=self.first_cost, steps=steps)

    def chunk_values(self) -> list[Values]:
        """Returns the rows of the chunks that are new or have grown since the last commit."""
        return [
            {"trial": self.trial, "name": name, **dict(zip(_CHUNK_COLUMNS, chunk, strict=True))}
            for name, points in self._series.items()
            for chunk in points.chunks()
        ]

    def save_pictures(self, connection: Connection) -> None:
        """Writes the histograms and snapshots that are new."""
        save_pictures(connection, self.trial, self._histograms, self._snapshots)

    def mark_committed(self) -> None:
        """Marks everything added so far as committed."""
        self.committed_readings = len(self.readings)
        for one in self._series.values():
            one.mark_committed()
        self._histograms.mark_committed()
        self._snapshots.mark_committed()


def save_progress(connection: Connection, runs: Sequence[ActiveRun]) -> None:
    """Writes the uncommitted part of unfinished runs."""
    new_readings = [row for run in runs for row in reading_values(run.trial, run.pending)]
    replace(connection, readings, ("trial", "epoch"), new_readings)
    _save_points(connection, runs)
    # Details change no summary: they may come after a run's end, which must stay.
    changed = [run for run in runs if run.pending or run.has_new_costs]
    save_summaries(connection, {run.trial: summary_values(run.run, run.spark) for run in changed})


def _save_points(connection: Connection, runs: Iterable[ActiveRun]) -> None:
    running = list(runs)
    chunks = [row for run in running for row in run.chunk_values()]
    replace(connection, series, ("trial", "name", "chunk"), chunks)
    for run in running:
        run.save_pictures(connection)


def save_finished(
    connection: Connection,
    results: Mapping[int, Result],
    active: Mapping[int, ActiveRun],
    of_keys: Mapping[TrialKey, Verdict],
) -> None:
    """Writes finished runs whole: final state, every reading, the rest of the series, the verdict by key."""
    forget(connection, results, (readings, findings, verdicts, fold_scores, touches))
    rows = [row for trial, result in results.items() for row in reading_values(trial, result.run.readings)]
    append(connection, readings, rows)
    keys = {trial: result.trial.key for trial, result in results.items()}
    save_verdicts(connection, {trial: of_keys[key] for trial, key in keys.items() if key in of_keys})
    fold_rows = [
        {"trial": trial, "fold": fold, "score": value}
        for trial, result in results.items()
        for fold, value in enumerate(result.run.folds)
    ]
    append(connection, fold_scores, fold_rows)
    touch_rows = [
        {"trial": trial, "position": position, **asdict(touch), "kind": touch.kind.value}
        for trial, result in results.items()
        for position, touch in enumerate(result.run.touches)
    ]
    append(connection, touches, touch_rows)
    _save_points(connection, active.values())

    summaries: dict[int, Values] = {}
    for trial, result in results.items():
        if trial in active:
            spark = active[trial].spark
        else:
            stored = select(run_summary.c.spark).where(run_summary.c.trial == trial)
            spark = connection.execute(stored).scalar_one()
        summaries[trial] = summary_values(result.run, spark)
    save_summaries(connection, summaries)


def save_summaries(connection: Connection, summaries: Mapping[int, Values]) -> None:
    """Rewrites summary rows with new versions, the cursor by which readers find changes."""
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
    """Returns the next version numbers; the row that counts them also makes writers take turns."""
    mine = meta.c.name == "last_version"
    connection.execute(update(meta).where(mine).values(value=meta.c.value + count))
    last: int = connection.execute(select(meta.c.value).where(mine)).scalar_one()
    return range(last - count + 1, last + 1)
