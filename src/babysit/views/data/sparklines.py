"""Many sparklines at once, each as a short text: one letter a bucket, its height in 64 steps.

A page draws a sparkline 22 pixels high, so 64 heights suffice; as text it has 60 bytes, not 700.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from babysit.views.data.series import SPIKE

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
"""The letters by their height: A at the bottom, _ at the top."""

_CODES = np.frombuffer(LETTERS.encode(), dtype=np.uint8)
_TOP = len(LETTERS) - 1
_EXPLODED = 3
"""Factor of the first cost at which an exploded run is clipped, as in `babysit.views.data.series.spark`."""


def spark_texts(sparks: Sequence[bytes], exploded: Sequence[bool]) -> list[str]:
    """Encodes sparklines as text.

    Each bucket is drawn at its last value, or at its lowest or highest where that is a spike. A curve ends at
    the first bucket without a finite value.

    Args:
        sparks: of the run summaries, little-endian float32 of shape (buckets, 3): lowest, highest, last.
        exploded: the run exploded; its curve is clipped at three times its first cost.

    Returns:
        One text a run; empty without a bucket.

    Example:
        >>> spark_texts([np.array([[1, 1, 1], [3, 3, 3], [2, 2, 2]], dtype="<f4").tobytes()], [False])
        ['A_g']
    """
    if not sparks:
        return []
    found = [np.frombuffer(one, dtype="<f4").reshape(-1, 3) for one in sparks]
    width = max(len(one) for one in found)
    if not width:
        return [""] * len(found)
    padded = np.full((len(found), width, 3), np.nan, dtype=np.float64)
    for row, one in zip(padded, found, strict=True):
        row[: len(one)] = one
    heights, lengths = _heights(padded, np.asarray(exploded, dtype=bool))
    letters = _CODES[heights]
    return [row[:length].tobytes().decode() for row, length in zip(letters, lengths.tolist(), strict=True)]


def _heights(
    buckets: NDArray[np.float64], exploded: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the height of every bucket of every run, 0 to 63, and the number of buckets drawn."""
    low, high, last = buckets[..., 0], buckets[..., 1], buckets[..., 2]
    finite = np.where(np.isfinite(buckets), buckets, np.nan).reshape(len(buckets), -1)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a run without any number has no extremes
        bottom, top = np.nanmin(finite, axis=1), np.nanmax(finite, axis=1)
        first = finite[np.arange(len(finite)), np.isfinite(finite).argmax(axis=1)]
        limit = _EXPLODED * np.abs(first)
        top = np.where(exploded, np.fmin(top, limit), top)
        drawn = np.where(high > SPIKE * last, high, np.where(low * SPIKE < last, low, last))
        span = np.maximum(top - bottom, 1e-12 + np.abs(bottom) * 1e-6)
        places = (drawn - bottom[:, None]) / span[:, None]
    ended = np.isnan(places)
    lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), places.shape[1])
    heights = np.rint(np.clip(np.where(ended, 0, places), 0, 1) * _TOP).astype(np.int64)
    return heights, lengths
