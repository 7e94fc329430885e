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
"""The most of one name in one run; of more the one with the closest neighbours is dropped."""

MOST_SNAPSHOTS = 16
"""The most of one name in one run."""

Picture = TypeVar("Picture", Histogram, Snapshot)


class Thinned(Generic[Picture]):
    """A bounded number of pictures by name, spread evenly over the run; the first and the newest are kept.

    Args:
        most: the most of one name.

    Example:
        >>> thinned: Thinned[Snapshot] = Thinned(4)
        >>> for step in range(1, 7):
        ...     thinned.add(Snapshot("w", step, np.zeros((1, 1), np.float16)))
        >>> [snapshot.step for snapshot in thinned.new()], thinned.dropped()
        ([1, 3, 5, 6], [])
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, list[Picture]] = {}
        self._written: set[tuple[str, int]] = set()
        self._dropped: list[tuple[str, int]] = []

    def add(self, picture: Picture) -> None:
        """Adds a picture; its step is later than those of its name so far."""
        kept = self._kept.setdefault(picture.name, [])
        kept.append(picture)
        if len(kept) > self._most:
            gaps = [after.step - before.step for before, after in zip(kept, kept[2:], strict=False)]
            dropped = kept.pop(1 + gaps.index(min(gaps)))
            self._dropped.append((dropped.name, dropped.step))

    def new(self) -> list[Picture]:
        """Lists the pictures that are not written yet."""
        return [
            one for kept in self._kept.values() for one in kept if (one.name, one.step) not in self._written
        ]

    def dropped(self) -> list[tuple[str, int]]:
        """Lists names and steps of written pictures that are to be deleted."""
        return [key for key in self._dropped if key in self._written]

    @property
    def pending(self) -> bool:
        """True if anything is to be written or deleted."""
        return bool(self.new() or self.dropped())

    def mark_committed(self) -> None:
        """Marks new pictures as written, and dropped ones as deleted."""
        self._written = {(one.name, one.step) for kept in self._kept.values() for one in kept}
        self._dropped = []


def save_pictures(
    connection: Connection, trial: int, drawn: Thinned[Histogram], taken: Thinned[Snapshot]
) -> None:
    """Writes the new pictures of a run, and deletes the dropped ones."""
    _delete(connection, histograms, trial, drawn.dropped())
    _delete(connection, snapshots, trial, taken.dropped())
    key = ("trial", "name", "step")
    histogram_rows: list[Values] = [
        {
            "trial": trial,
            "name": one.name,
            "step": one.step,
            "edges": np.asarray(one.edges).astype("<f4").tobytes(),
            "counts": np.asarray(one.counts).astype("<i4").tobytes(),
        }
        for one in drawn.new()
    ]
    replace(connection, histograms, key, histogram_rows)
    snapshot_rows: list[Values] = [
        {
            "trial": trial,
            "name": one.name,
            "step": one.step,
            "shape": list(one.values.shape),
            "weights": np.asarray(one.values).astype("<f2").tobytes(),
        }
        for one in taken.new()
    ]
    replace(connection, snapshots, key, snapshot_rows)


def _delete(connection: Connection, table: Table, trial: int, dropped: list[tuple[str, int]]) -> None:
    if dropped:
        where = (table.c.name == bindparam("_name")) & (table.c.step == bindparam("_step"))
        keys = [{"_name": name, "_step": step} for name, step in dropped]
        connection.execute(delete(table).where(where & (table.c.trial == trial)), keys)


@reads
def histogram_from(row: Row[Any]) -> Histogram:
    """Builds the histogram from a row of ``histograms``."""
    edges = np.frombuffer(row.edges, dtype="<f4").astype(np.float32)
    return Histogram(row.name, row.step, edges, np.frombuffer(row.counts, dtype="<i4").astype(np.int32))


@reads
def snapshot_from(row: Row[Any]) -> Snapshot:
    """Builds the snapshot from a row of ``snapshots``."""
    values = np.frombuffer(row.weights, dtype="<f2").astype(np.float16)
    return Snapshot(row.name, row.step, values.reshape(row.shape))
