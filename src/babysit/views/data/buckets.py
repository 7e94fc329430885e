"""A long series in few buckets: the lowest, median and highest value of each, and its count of broken values.

Nothing is sampled and nothing is averaged: every value lies between its bucket's lowest and highest, so a
spike of one step among 100,000 remains.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST = 1e38
"""The largest value of single precision, in which series are stored; larger ones count as infinite."""


class Bands(NamedTuple):
    """A series in buckets; arrays of one length.

    Attributes:
        first, last: the first and the last step of each bucket.
        low, middle, high: the lowest, median and highest finite value; NaN in a bucket without one.
        latest: the last finite value; NaN in a bucket without one.
        broken: the number of NaN or infinite values.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    low: NDArray[np.float64]
    middle: NDArray[np.float64]
    high: NDArray[np.float64]
    latest: NDArray[np.float64]
    broken: NDArray[np.int64]


def bands(steps: ArrayLike, values: ArrayLike, count: int) -> Bands:
    """Shrinks a series to buckets of (nearly) equally many points.

    Args:
        steps: of each value, rising.
        values: one a step; NaN and infinity are counted, not drawn.
        count: the most buckets, at least 1.

    Example:
        >>> found = bands([1, 2, 3, 4], [1.0, 9.0, 2.0, float("nan")], 2)
        >>> found.low.tolist(), found.high.tolist(), found.broken.tolist()
        ([1.0, 2.0], [9.0, 2.0], [0, 1])
    """
    at = np.asarray(steps, dtype=np.int64)
    given = np.asarray(values, dtype=np.float64)
    size = min(count, len(given))
    edges = np.arange(size + 1) * len(given) // max(size, 1)
    known = np.isfinite(given) & (np.abs(given) < LARGEST)
    parts = [given[start:end][known[start:end]] for start, end in pairwise(edges)]
    summaries = [
        (part.min(), np.median(part), part.max(), part[-1]) if len(part) else (np.nan,) * 4 for part in parts
    ]
    numbers = np.array(summaries, dtype=np.float64).reshape(-1, 4)
    sizes = np.array([len(part) for part in parts], dtype=np.int64)
    low, middle, high, latest = numbers.T
    return Bands(at[edges[:-1]], at[edges[1:] - 1], low, middle, high, latest, np.diff(edges) - sizes)
