"""Folds of pooled rows: a partition, with equal shares of each class, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.data.folds import folds
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import arrays, digits
from babysit.errors import InputError


@pytest.mark.parametrize("count", [2, 5, 10])
def test_every_row_is_held_out_once_and_classes_are_spread(count):
    data = digits()
    found = folds(data, count, seed=3)
    assert len(found.dataset.train) == len(found.fold_of) == len(data.train) + len(data.val)
    assert found.dataset.val is found.dataset.train
    assert found.dataset.test is data.test
    sizes = np.bincount(found.fold_of, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for label in range(10):
        held = np.bincount(found.fold_of[found.dataset.train.y == label], minlength=count)
        assert held.max() - held.min() <= 2


def test_the_seed_decides_and_the_preprocessing_stays():
    data = digits(preprocess=[MeanImage()])
    one, same, other = (folds(data, 4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.fold_of, same.fold_of)
    assert not np.array_equal(one.fold_of, other.fold_of)
    assert one.dataset.preprocessing is data.preprocessing


def test_regression_has_folds_too():
    x = np.arange(20, dtype=np.float32)[:, None]
    found = folds(arrays(x[:15], x[:15, 0], x[15:], x[15:, 0]), 4, seed=0)
    assert np.bincount(found.fold_of).tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("count", [-1, 1, 2000])
def test_impossible_numbers_of_folds_are_refused(count):
    with pytest.raises(InputError, match=f"{count} folds cannot be made of 1437 rows"):
        folds(digits(), count, seed=0)
