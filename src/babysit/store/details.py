"""Histograms and snapshots of unfinished runs: a bounded number of each, spread over the whole run."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from sqlalchemy import Connection, Row, Table, bindparam, delete

from babysit.records import Histogram, Snapshot
from babysit.store.failures import reads
from babysit.store.rows import Values
from babysit.store.schema import histograms, snapshots
from babysit.store.statements import replace

MOST_HISTOGRAMS = 48
"""Of one name in one run; beyond it the one with the closest neighbours goes."""
MOST_SNAPSHOTS = 16
"""Of one name in one run."""

Picture = TypeVar("Picture", Histogram, Snapshot)


class Thinned(Generic[Picture]):
    """Pictures by name, spread evenly over the run however many come; the first and the newest always stay.

    Args:
        most: of one name.

    Example:
        >>> thinned: Thinned[Snapshot] = Thinned(4)
        >>> for step in range(1, 7):
        ...     thinned.add(Snapshot("w", step, np.zeros((1, 1), np.float16)))
        >>> [snapshot.step for snapshot in thinned.new()], thinned.gone()
        ([1, 3, 5, 6], [])
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, list[Picture]] = {}
        self._written: set[tuple[str, int]] = set()
        self._gone: list[tuple[str, int]] = []

    def add(self, picture: Picture) -> None:
        """Takes in one; its step is later than those of its name before."""
        kept = self._kept.setdefault(picture.name, [])
        kept.append(picture)
        if len(kept) > self._most:
            gaps = [after.step - before.step for before, after in zip(kept, kept[2:], strict=False)]
            gone = kept.pop(1 + gaps.index(min(gaps)))
            self._gone.append((gone.name, gone.step))

    def new(self) -> list[Picture]:
        """Those that are not written yet."""
        return [
            one for kept in self._kept.values() for one in kept if (one.name, one.step) not in self._written
        ]

    def gone(self) -> list[tuple[str, int]]:
        """Names and steps of those that were written and are to be deleted."""
        return [key for key in self._gone if key in self._written]

    @property
    def pending(self) -> bool:
        """Whether anything is to be written or deleted."""
        return bool(self.new() or self.gone())

    def mark_committed(self) -> None:
        """What was new is on disk, and what was gone is off it."""
        self._written = {(one.name, one.step) for kept in self._kept.values() for one in kept}
        self._gone = []


def save_pictures(
    connection: Connection, trial: int, drawn: Thinned[Histogram], taken: Thinned[Snapshot]
) -> None:
    """Writes what is new of a run's pictures, and deletes what was thinned out."""
    _delete(connection, histograms, trial, drawn.gone())
    _delete(connection, snapshots, trial, taken.gone())
    key = ("trial", "name", "step")
    replace(connection, histograms, key, [_histogram_values(trial, one) for one in drawn.new()])
    replace(connection, snapshots, key, [_snapshot_values(trial, one) for one in taken.new()])


def _delete(connection: Connection, table: Table, trial: int, gone: list[tuple[str, int]]) -> None:
    if gone:
        where = (table.c.name == bindparam("_name")) & (table.c.step == bindparam("_step"))
        keys = [{"_name": name, "_step": step} for name, step in gone]
        connection.execute(delete(table).where(where & (table.c.trial == trial)), keys)


def _histogram_values(trial: int, histogram: Histogram) -> Values:
    return {
        "trial": trial,
        "name": histogram.name,
        "step": histogram.step,
        "edges": np.asarray(histogram.edges).astype("<f4").tobytes(),
        "counts": np.asarray(histogram.counts).astype("<i4").tobytes(),
    }


@reads
def histogram_from(row: Row[Any]) -> Histogram:
    """The histogram in a row of ``histograms``."""
    edges = np.frombuffer(row.edges, dtype="<f4").astype(np.float32)
    return Histogram(row.name, row.step, edges, np.frombuffer(row.counts, dtype="<i4").astype(np.int32))


def _snapshot_values(trial: int, snapshot: Snapshot) -> Values:
    return {
        "trial": trial,
        "name": snapshot.name,
        "step": snapshot.step,
        "shape": list(snapshot.values.shape),
        "weights": np.asarray(snapshot.values).astype("<f2").tobytes(),
    }


@reads
def snapshot_from(row: Row[Any]) -> Snapshot:
    """The snapshot in a row of ``snapshots``."""
    values = np.frombuffer(row.weights, dtype="<f2").astype(np.float16)
    return Snapshot(row.name, row.step, values.reshape(row.shape))
