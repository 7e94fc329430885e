"""Per-step quantities as bytes: 256-point chunks for the curve, 60 buckets for the sparkline."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHUNK_POINTS = 256
"""Points in one row of the series table."""

SPARK_BUCKETS = 60
"""Buckets of the summary's sparkline."""


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


def to_chunks(steps: NDArray[np.int32], values: NDArray[np.float32], start: int = 0) -> list[Chunk]:
    """Cuts a series into chunks.

    Args:
        steps: the step of every point, ascending.
        values: the value of every point, as long as ``steps``.
        start: the first chunk wanted, from 0: those before it are stored already and never change.

    Returns:
        The chunks from ``start`` on; only the last may be short.

    Example:
        >>> [chunk.size for chunk in to_chunks(np.arange(300, dtype="i4"), np.ones(300, dtype="f4"))]
        [256, 44]
    """
    offsets = range(start * CHUNK_POINTS, len(steps), CHUNK_POINTS)
    return [
        _chunk(offset, steps[offset:][:CHUNK_POINTS], values[offset:][:CHUNK_POINTS]) for offset in offsets
    ]


def _chunk(offset: int, steps: NDArray[np.int32], values: NDArray[np.float32]) -> Chunk:
    points = steps.astype("<i4").tobytes() + values.astype("<f4").tobytes()
    return Chunk(offset // CHUNK_POINTS, int(steps[0]), int(steps[-1]), len(steps), points)


def from_chunks(chunks: Sequence[bytes]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The series whose chunks these are.

    Args:
        chunks: the ``points`` of every chunk, in order.

    Returns:
        Steps and values; both empty when there is no chunk.
    """
    halves = [(points[: len(points) // 2], points[len(points) // 2 :]) for points in chunks]
    steps = np.frombuffer(b"".join(first for first, _ in halves), dtype="<i4")
    values = np.frombuffer(b"".join(second for _, second in halves), dtype="<f4")
    return steps.astype(np.int32), values.astype(np.float32)


def buckets(values: ArrayLike, count: int = SPARK_BUCKETS) -> NDArray[np.float32]:
    """Shrinks a series to at most ``count`` buckets, each with its lowest, highest and last value.

    Nothing is averaged and nothing is random: a spike of one step survives, and the same series always
    gives the same buckets.

    Args:
        values: the series; NaN counts as neither low nor high, but a bucket of NaN alone stays NaN.
        count: the most buckets wanted, default 60.

    Returns:
        Shape (buckets, 3): lowest, highest, last.

    Example:
        >>> buckets([1.0, 9.0, 2.0, 3.0], count=2).tolist()
        [[1.0, 9.0, 9.0], [2.0, 3.0, 3.0]]
    """
    series = np.asarray(values, dtype=np.float32)
    if not len(series):
        return np.empty((0, 3), dtype=np.float32)
    starts = np.linspace(0, len(series), min(count, len(series)), endpoint=False).astype(int)
    lasts = series[np.append(starts[1:], len(series)) - 1]
    lows = np.fmin.reduceat(series, starts)
    highs = np.fmax.reduceat(series, starts)
    return np.stack([lows, highs, lasts], axis=1)


def to_spark(values: ArrayLike) -> bytes:
    """The sparkline of a series, as little-endian float32 bytes of shape (buckets, 3)."""
    return buckets(values).astype("<f4").tobytes()


def from_spark(spark: bytes) -> NDArray[np.float32]:
    """The inverse of :func:`to_spark`."""
    return np.frombuffer(spark, dtype="<f4").reshape(-1, 3).astype(np.float32)


def to_single(values: ArrayLike) -> NDArray[np.float32]:
    """Single precision; a cost beyond its range becomes infinite, as it does in training.

    Example:
        >>> to_single([1.5, 1e300]).tolist()
        [1.5, inf]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(values).astype(np.float32)
