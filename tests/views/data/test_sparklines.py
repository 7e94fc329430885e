from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.store.points import SparkBuckets
from babysit.views.data.series import spark
from babysit.views.data.sparklines import LETTERS, spark_texts

costs = st.lists(st.floats(0.0078125, 128, width=32), min_size=2, max_size=200)


def to_spark(costs):
    """What a store keeps of a run's costs."""
    kept = SparkBuckets()
    kept.add(costs)
    return kept.to_bytes()


def heights(text):
    return [LETTERS.index(letter) / (len(LETTERS) - 1) for letter in text]


@given(st.lists(costs, min_size=1, max_size=4))
def test_every_height_is_one_that_the_other_spark_goes_through(runs):
    """The figure data of the report's table cells is the slow twin: a path through every bucket's points."""
    texts = spark_texts([to_spark(run) for run in runs], [False] * len(runs))
    for run, text in zip(runs, texts, strict=True):
        buckets = np.frombuffer(to_spark(run), dtype="<f4").reshape(-1, 3)
        points = spark(buckets).points
        places = sorted({x for x, _ in points})
        assert len(text) == len(places)
        for place, height in zip(places, heights(text), strict=True):
            assert min(abs(height - y) for x, y in points if x == place) <= 0.51 / 63


def test_many_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(0)
    runs = [to_spark(rng.uniform(0.1, 5, size)) for size in (1, 5, 60, 61, 500)]
    flags = [False, True, False, True, False]
    assert spark_texts(runs, flags) == [
        spark_texts([run], [flag])[0] for run, flag in zip(runs, flags, strict=True)
    ]


def test_a_spike_of_one_step_is_seen():
    values = np.full(600, 1.0)
    values[301] = 50.0
    [text] = spark_texts([to_spark(values)], [False])
    assert text.count("_") == 1


def test_an_exploded_run_is_clipped_at_three_times_its_first_cost():
    [text] = spark_texts([to_spark([2.0, 2.0, 4.0, 1e30])], [True])
    assert heights(text) == pytest.approx([0, 0, 0.5, 1], abs=0.01)


@pytest.mark.parametrize("values", [[], [np.nan], [np.nan, np.nan]])
def test_nothing_is_drawn_of_what_is_no_number(values):
    assert spark_texts([to_spark(values), to_spark([1.0, 2.0])], [False, False])[0] == ""


def test_a_curve_ends_where_its_cost_stops_being_a_number():
    [text] = spark_texts([to_spark([3.0, 2.0, 1.0, np.nan, np.nan])], [False])
    assert len(text) == 3


def test_no_run_makes_no_text():
    assert spark_texts([], []) == []
