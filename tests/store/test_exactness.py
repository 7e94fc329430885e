"""Numbers come back as they went in, bit for bit where double precision was promised."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babysit.records import Explosion, Reading, Result, Run, State
from babysit.store import queries
from babysit.store.active import ActiveRun
from babysit.store.points import CHUNK_POINTS, SparkBuckets, buckets, from_chunks, from_spark, to_chunks
from babysit.store.reader import Reader
from babysit.store.schema import from_json, to_json
from babysit.store.writer import Writer
from store.conftest import begin
from store.records import same, trial

# SQLite keeps a whole number in fewer bytes, and so loses the sign of minus zero, which equals zero.
numbers = st.floats().map(lambda number: number or 0.0)
readings = st.builds(Reading, st.just(1), st.integers(0, 2**40), *[numbers] * 5)
explosions = st.none() | st.builds(Explosion, st.integers(1, 2**40), st.integers(1, 999), numbers, numbers)
runs = st.builds(
    Run,
    st.sampled_from(State),
    st.tuples(readings) | st.just(()),
    numbers,
    explosions,
    st.floats(0, 1e9),
    st.integers(0, 2**40),
    st.text(st.characters(exclude_categories=["Cs"])),
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(run=runs)
def test_a_run_comes_back_exactly(run: Run, tmp_path_factory: object) -> None:
    path = _store(tmp_path_factory)
    with Writer(path) as writer, Reader(path) as reader:
        study = begin(writer)
        writer.finish_trials(study, [Result(trial(), run)])
        assert same(queries.results(reader, study), [Result(trial(), run)])


def _store(factory: object) -> str:
    folder: Path = factory.getbasetemp()  # type: ignore[attr-defined]
    return str(folder / "exact.db")


@pytest.mark.slow
@given(value=plain)
def test_plain_data_survives_standard_json(value: object) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert same(from_json(json.loads(text)), value)


def test_everything_else_becomes_plain_data() -> None:
    given_values = {
        "path": Path("a"),
        3: (1, 2),
        "array": np.array([1.5, np.nan]),
        "reading": Explosion(1, 1, 2.0, 3.0),
    }
    expected = {
        "path": "a",
        "3": [1, 2],
        "array": [1.5, math.nan],
        "reading": {"step": 1, "epoch": 1, "cost": 2.0, "first_cost": 3.0},
    }
    assert same(from_json(to_json(given_values)), expected)


@given(values=st.lists(st.floats(width=32), max_size=700))
def test_chunks_join_to_the_series(values: list[float]) -> None:
    steps, costs = np.arange(len(values), dtype=np.int32), np.array(values, dtype=np.float32)
    chunks = to_chunks(steps, costs)
    joined_steps, joined = from_chunks([chunk.points for chunk in chunks])
    np.testing.assert_array_equal(joined_steps, steps)
    np.testing.assert_array_equal(joined, costs)
    assert all(
        (chunk.first_step, chunk.last_step) == (chunk.position * 256, chunk.position * 256 + chunk.size - 1)
        for chunk in chunks
    )


@given(
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=500), count=st.integers(1, 80)
)
def test_buckets_keep_the_extremes_and_the_end(values: list[float], count: int) -> None:
    shrunk = buckets(values, count)
    assert shrunk.shape == (min(count, len(values)), 3)
    assert shrunk[:, 0].min() == min(values)
    assert shrunk[:, 1].max() == max(values)
    assert shrunk[-1, 2] == values[-1]


def test_a_spark_keeps_a_spike_among_many() -> None:
    costs = np.ones(10_000)
    costs[4321] = 99
    spark = sparkline([costs])
    assert spark.shape == (60, 3)
    assert spark[:, 1].max() == 99


def test_nan_hides_no_number() -> None:
    shrunk = buckets([math.nan, 2.0, math.nan, math.nan], count=2)
    np.testing.assert_array_equal(shrunk, np.array([[2, 2, 2], [math.nan] * 3], dtype="f4"))


def sparkline(pieces: list[np.ndarray]) -> np.ndarray:
    spark = SparkBuckets()
    for piece in pieces:
        spark.add(piece)
    return from_spark(spark.to_bytes())


@given(values=st.lists(st.floats(width=32), max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4))
def test_a_short_sparkline_is_the_buckets_of_all_points(values: list[float], cuts: list[int]) -> None:
    costs = np.array(values, dtype=np.float32)
    np.testing.assert_array_equal(sparkline(np.split(costs, sorted(cuts))), buckets(costs))


@settings(max_examples=15)
@given(size=st.integers(4000, 60_000), piece=st.integers(300, 9000), seed=st.integers(0, 99))
def test_a_long_sparkline_loses_no_extreme_and_no_end(size: int, piece: int, seed: int) -> None:
    costs = np.random.default_rng(seed).standard_cauchy(size).astype(np.float32)
    pieces = np.split(costs, range(piece, size, piece))
    spark, whole = sparkline(pieces), sparkline([costs])
    np.testing.assert_array_equal(spark, whole)
    assert spark.shape == (60, 3)
    assert (spark[:, 0].min(), spark[:, 1].max(), spark[-1, 2]) == (costs.min(), costs.max(), costs[-1])
    # A slow twin: a rising series tells where the borders lie.
    rising = sparkline(np.split(np.arange(size, dtype=np.float32), range(piece, size, piece)))
    np.testing.assert_allclose(rising[:, 2], buckets(np.arange(size))[:, 2], atol=2 * size / 2048 + 1)


@given(
    sizes=st.lists(st.integers(0, 700), max_size=6), commits=st.lists(st.booleans(), min_size=6, max_size=6)
)
def test_chunks_of_a_growing_run_are_those_of_the_whole(sizes: list[int], commits: list[bool]) -> None:
    run, stored, last = ActiveRun(1), {}, 0
    for size, commit in zip(sizes, commits, strict=False):
        steps = np.arange(last + 1, last + size + 1)
        last += size
        run.add_costs(steps, steps / 7)
        stored |= {row["chunk"]: row["points"] for row in run.chunk_values()}
        if commit:
            run.mark_committed()
            assert sum(len(piece) for piece in run._series["cost"]._steps) < CHUNK_POINTS
    steps, costs = from_chunks([stored[chunk] for chunk in sorted(stored)])
    np.testing.assert_array_equal(steps, np.arange(1, last + 1))
    np.testing.assert_array_equal(costs, (np.arange(1, last + 1) / 7).astype(np.float32))
    assert run.run.steps == last
