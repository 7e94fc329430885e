"""Buckets of a long series: nothing leaves its band, no spike is lost, what is no number is counted."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.views.data.buckets import bands

VALUES = st.lists(st.floats(width=32), min_size=0, max_size=300)
COUNTS = st.integers(1, 60)


def slow_twin(steps, values, count):
    """Bucket by bucket, in plain Python."""
    size = min(count, len(values))
    edges = [index * len(values) // size for index in range(size + 1)] if size else []
    told = []
    for start, end in pairwise(edges):
        part = [value for value in values[start:end] if math.isfinite(value) and abs(value) < 1e38]
        middle = (sorted(part)[(len(part) - 1) // 2] + sorted(part)[len(part) // 2]) / 2 if part else math.nan
        ends = (min(part), middle, max(part), part[-1]) if part else (math.nan,) * 4
        told.append((steps[start], steps[end - 1], *ends, end - start - len(part)))
    return told


@given(VALUES, COUNTS)
def test_buckets_equal_a_slow_twin(values, count):
    steps = [3 * step for step in range(1, len(values) + 1)]
    found = list(zip(*(column.tolist() for column in bands(steps, values, count)), strict=True))
    assert np.array_equal(
        np.array(found, dtype=float).reshape(-1, 7),
        np.array(slow_twin(steps, values, count), dtype=float).reshape(-1, 7),
        equal_nan=True,
    )


@given(VALUES, COUNTS)
def test_every_value_lies_in_its_band_and_every_step_in_one(values, count):
    steps = np.arange(1, len(values) + 1)
    found = bands(steps, values, count)
    assert len(found.low) <= count
    for step, value in zip(steps, values, strict=True):
        (inside,) = np.flatnonzero((found.first <= step) & (step <= found.last))
        if math.isfinite(value) and abs(value) < 1e38:
            assert found.low[inside] <= value <= found.high[inside]
        else:
            assert found.broken[inside] > 0
    assert found.broken.sum() == sum(not (math.isfinite(each) and abs(each) < 1e38) for each in values)


@pytest.mark.parametrize("at", [0, 1, 49_999, 99_998, 99_999])
@pytest.mark.parametrize("spike", [1e6, -1e6])
def test_a_spike_of_one_step_among_100_000_survives(at, spike):
    values = np.ones(100_000)
    values[at] = spike
    found = bands(np.arange(100_000), values, 200)
    assert (found.high.max() if spike > 0 else found.low.min()) == spike


def test_a_series_without_points_has_no_buckets():
    assert all(len(column) == 0 for column in bands([], [], 10))
