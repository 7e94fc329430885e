"""Per-step quantities as bytes: 256-point chunks for the curve, 60 buckets for the sparkline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from babysit.store.failures import reads

CHUNK_POINTS = 256
"""Points in one row of the series table."""

SPARK_BUCKETS = 60
"""Buckets of the summary's sparkline."""


_MOST_ROWS = 4096
"""The most rows of a growing series."""


class Chunk(NamedTuple):
    """Up to 256 consecutive points.

    Attributes:
        position: place in the series, from 0.
        first_step, last_step: the steps of its first and last point.
        size: how many points.
        points: all steps as little-endian int32, then all values as little-endian float32.
    """

    position: int
    first_step: int
    last_step: int
    size: int
    points: bytes


def to_chunks(steps: NDArray[np.int32], values: NDArray[np.float32]) -> list[Chunk]:
    """Cuts a series into chunks.

    Args:
        steps: the step of every point, ascending.
        values: the value of every point, as long as ``steps``.

    Returns:
        The chunks; only the last may be short.

    Example:
        >>> [chunk.size for chunk in to_chunks(np.arange(300, dtype="i4"), np.ones(300, dtype="f4"))]
        [256, 44]
    """
    chunks: list[Chunk] = []
    for offset in range(0, len(steps), CHUNK_POINTS):
        some, measured = steps[offset:][:CHUNK_POINTS], values[offset:][:CHUNK_POINTS]
        points = some.astype("<i4").tobytes() + measured.astype("<f4").tobytes()
        chunks.append(Chunk(offset // CHUNK_POINTS, int(some[0]), int(some[-1]), len(some), points))
    return chunks


@reads
def from_chunks(chunks: Sequence[bytes]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Joins chunks to a series.

    Args:
        chunks: the ``points`` of every chunk, in order.

    Returns:
        Steps and values; both empty when there is no chunk.
    """
    if any(len(points) % 8 for points in chunks):
        raise ValueError("a piece of a series is not made of pairs of a step and a value")
    halves = [(points[: len(points) // 2], points[len(points) // 2 :]) for points in chunks]
    steps = np.frombuffer(b"".join(first for first, _ in halves), dtype="<i4")
    values = np.frombuffer(b"".join(second for _, second in halves), dtype="<f4")
    return steps.astype(np.int32), values.astype(np.float32)


def buckets(values: ArrayLike, count: int = SPARK_BUCKETS) -> NDArray[np.float32]:
    """Shrinks a series to at most ``count`` buckets, each with its lowest, highest and last value.

    Nothing is averaged or random: a spike of one step survives, and the same series gives the same buckets.

    Args:
        values: the series; NaN is ignored, but a bucket of NaN alone stays NaN.
        count: the most buckets. Default: 60.

    Returns:
        Shape (buckets, 3): lowest, highest, last.

    Example:
        >>> buckets([1.0, 9.0, 2.0, 3.0], count=2).tolist()
        [[1.0, 9.0, 9.0], [2.0, 3.0, 3.0]]
    """
    series = np.asarray(values, dtype=np.float32)
    return _shrunk(series, series, series, count)


def _shrunk(
    lows: NDArray[np.float32], highs: NDArray[np.float32], lasts: NDArray[np.float32], count: int
) -> NDArray[np.float32]:
    if not len(lasts):
        return np.empty((0, 3), dtype=np.float32)
    starts = np.linspace(0, len(lasts), min(count, len(lasts)), endpoint=False).astype(int)
    ends = lasts[np.append(starts[1:], len(lasts)) - 1]
    return np.stack([np.fmin.reduceat(lows, starts), np.fmax.reduceat(highs, starts), ends], axis=1)


class SparkBuckets:
    """The buckets of a growing series, in bounded memory.

    The result is that of :func:`buckets` for up to 4096 points. In a longer series pairs of neighbours are
    joined whenever there would be more rows; no extreme and no end is lost, and the border of a bucket is off
    by at most one joined row.

    Example:
        >>> spark = SparkBuckets()
        >>> spark.add([1.0, 9.0, 2.0])
        >>> from_spark(spark.to_bytes())[:, 1].tolist()
        [1.0, 9.0, 2.0]
    """

    def __init__(self) -> None:
        self._width = 1  # points in a row
        self._rows = np.empty((0, 3), dtype=np.float32)  # lowest, highest, last
        self._rest = np.empty(0, dtype=np.float32)  # fewer than make a row

    def add(self, values: ArrayLike) -> None:
        """Appends points."""
        self._rest = np.concatenate([self._rest, to_single(values)])
        while len(self._rest) >= self._width:
            if len(self._rows) == _MOST_ROWS:
                pairs = self._rows.reshape(_MOST_ROWS // 2, 2, 3)
                lows, highs = np.fmin.reduce(pairs[:, :, 0], 1), np.fmax.reduce(pairs[:, :, 1], 1)
                self._rows = np.stack([lows, highs, pairs[:, -1, 2]], axis=1)
                self._width *= 2
                continue
            count = min(_MOST_ROWS - len(self._rows), len(self._rest) // self._width)
            whole, self._rest = np.split(self._rest, [count * self._width])
            self._rows = np.concatenate([self._rows, _rows_of(whole.reshape(count, self._width))])

    def to_bytes(self) -> bytes:
        """Encodes the buckets as little-endian float32 of shape (buckets, 3)."""
        rest = _rows_of(self._rest.reshape(1, -1)) if len(self._rest) else self._rows[:0]
        rows = np.concatenate([self._rows, rest])
        return _shrunk(rows[:, 0], rows[:, 1], rows[:, 2], SPARK_BUCKETS).astype("<f4").tobytes()


def _rows_of(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduces points of shape (rows, width) to rows of lowest, highest and last."""
    return np.stack([np.fmin.reduce(points, 1), np.fmax.reduce(points, 1), points[:, -1]], axis=1)


@reads
def from_spark(spark: bytes) -> NDArray[np.float32]:
    """Decodes :meth:`SparkBuckets.to_bytes`."""
    return np.frombuffer(spark, dtype="<f4").reshape(-1, 3).astype(np.float32)


def to_single(values: ArrayLike) -> NDArray[np.float32]:
    """Converts to single precision; a cost beyond its range becomes infinite, as it does in training.

    Example:
        >>> to_single([1.5, 1e300]).tolist()
        [1.5, inf]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(values).astype(np.float32)
