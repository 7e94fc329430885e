"""Rows that are read when asked for: the same rows as in memory, whatever is put around them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from babysit.data.dataset import FIT_ROWS, Dataset, Split, split
from babysit.data.decorrelation import PCA
from babysit.data.folds import folds
from babysit.data.preprocessing import MeanImage, Standardize
from babysit.data.rows import ChosenRows, Joined, Rows, Through, spread
from babysit.errors import DataError


class Told(Rows):
    """Rows of an array that remembers which were read."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self.shape, self.dtype = x, x.shape, x.dtype
        self.asked: list[int] = []

    def read(self, numbers: np.ndarray) -> np.ndarray:
        self.asked += numbers.tolist()
        return self.x[numbers]


def images(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_put_around_rows_picks_the_same_as_an_array(data):
    x = np.arange(data.draw(st.integers(1, 20)))[:, None] * 1.5
    lazily: Rows = Told(x)
    for _ in range(data.draw(st.integers(0, 3))):
        kind = data.draw(st.sampled_from(["chosen", "joined", "through"]))
        if kind == "chosen":
            numbers = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), min_size=1, max_size=9)))
            x, lazily = x[numbers], ChosenRows(lazily, numbers)
        elif kind == "joined":
            x, lazily = np.concatenate([x, x[:2], x]), Joined([lazily, x[:2], lazily], ["a", "b", "c"])
        else:
            x, lazily = x + 1, Through(lazily, lambda rows: rows + 1)
    picked = np.array(data.draw(st.lists(st.integers(0, len(x) - 1), max_size=9)), dtype=np.int64)
    start, stop = data.draw(st.integers(-5, 9)), data.draw(st.integers(-5, 25))
    assert (lazily.shape, lazily.dtype, len(lazily), lazily.size) == (x.shape, x.dtype, len(x), x.size)
    assert np.array_equal(lazily[picked], x[picked])
    assert np.array_equal(lazily[start:stop], x[start:stop])


def test_parts_that_differ_are_refused_by_name():
    with pytest.raises(
        DataError, match=r"second has rows of shape \[2\] of uint8, but first has \[3\] of float64"
    ):
        Joined([np.zeros((1, 3)), np.zeros((1, 2), np.uint8)], ["first", "second"])


def test_a_split_reads_nothing():
    told, y = Told(images()), np.arange(40) % 2
    lazily, kept = (split(x, y, val=0.2, test=5, seed=3, stratify=True) for x in (told, told.x))
    assert told.asked == []
    for ours, theirs in zip(lazily, kept, strict=True):
        assert np.array_equal(ours.x[:], theirs.x)
        assert np.array_equal(ours.y, theirs.y)


def test_folds_pool_rows_without_reading_them():
    told, y = Told(images()), np.arange(40) % 2
    parts = [split(x, y, val=0.2, seed=3) for x in (told, told.x)]
    ours, theirs = (folds(Dataset("d", train, val), 4, seed=1) for train, val, _ in parts)
    assert told.asked == []
    assert np.array_equal(ours.dataset.train.x[:], theirs.dataset.train.x)
    assert np.array_equal(ours.fold_of, theirs.fold_of)


@pytest.mark.parametrize(
    "steps", [[MeanImage()], [Standardize(per="channel"), PCA(5)], [MeanImage(), Standardize()]]
)
def test_preprocessing_is_fitted_as_in_memory(steps):
    x, y = images(), np.arange(40) % 2
    made = [Dataset("d", Split(rows, y), Split(rows, y)).preprocessed(steps) for rows in (Told(x), x)]
    ours, theirs = ([step.state() for step in data.preprocessing] for data in made)
    for left, right in zip(ours, theirs, strict=True):
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[name], right[name]) for name in left)
    assert np.array_equal(made[0].inputs(made[0].val.x), made[1].inputs(x))


def test_further_preprocessing_sees_what_the_first_made_of_the_rows():
    x, y = images(), np.arange(40) % 2
    ours, theirs = (
        Dataset("d", Split(rows, y), Split(rows, y)).preprocessed([MeanImage()]).preprocessed([PCA(3)])
        for rows in (Told(x), x)
    )
    assert np.array_equal(ours.inputs(ours.train.x), theirs.inputs(x))


def test_of_very_many_rows_an_even_part_is_read():
    told = Told(np.arange(2 * FIT_ROWS + 7, dtype=np.float32)[:, None])
    data = Dataset(
        "d", Split(told, np.zeros(len(told), np.int64)), Split(told, np.zeros(len(told), np.int64))
    )
    mean = data.preprocessed([MeanImage()]).preprocessing[0].mean_
    assert len(set(told.asked)) == FIT_ROWS
    assert (min(told.asked), max(told.asked)) == (0, len(told) - 1)
    assert abs(float(mean[0]) - told.x.mean()) < 1


def test_a_step_from_elsewhere_gets_an_array(monkeypatch):
    from sklearn.preprocessing import MinMaxScaler

    monkeypatch.setattr("babysit.data.dataset._FIT_BYTES", 16 * 10)
    told = Told(np.random.default_rng(0).normal(size=(50, 2)))
    data = Dataset("d", Split(told, np.arange(50) % 2), Split(told, np.arange(50) % 2))
    fitted = data.preprocessed([MinMaxScaler()]).preprocessing[0]
    assert fitted.n_samples_seen_ == 10
    assert data.preprocessed([MinMaxScaler()]).inputs(told).shape == (50, 2)


def test_rows_are_spread_from_the_first_to_the_last():
    x = np.arange(100)[:, None]
    assert spread(x, 100) is x
    assert spread(x, 4)[:, 0].tolist() == [0, 33, 66, 99]
    assert spread(Told(x), 4)[:][:, 0].tolist() == [0, 33, 66, 99]
