"""The digits: the only source that needs no file of the user's."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from sklearn.datasets import load_digits

from babysit.data import sources
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import digits
from babysit.errors import DataError


def sorted_rows(x: np.ndarray) -> np.ndarray:
    return np.unique(x.reshape(len(x), -1).astype(int), axis=0)


def test_the_digits_are_scikit_learns():
    data = digits()
    ours = np.concatenate([part.x for part in (data.train, data.val, data.test)])
    assert np.array_equal(sorted_rows(ours), sorted_rows(load_digits().data))
    assert (len(data.train), len(data.val), len(data.test)) == (1257, 180, 360)
    assert (data.train.x.dtype, data.train.x.shape[1:]) == (np.uint8, (1, 8, 8))


def test_labels_belong_to_their_images():
    known = {row.tobytes(): label for row, label in zip(*load_digits(return_X_y=True), strict=True)}
    data = digits()
    rows = data.val.x.reshape(180, 64).astype(np.float64)
    assert [known[row.tobytes()] for row in rows] == data.val.y.tolist()


def test_the_split_is_stratified_and_fixed():
    data, again = digits(), digits()
    assert np.ptp(np.bincount(data.val.y)) <= 2
    assert np.array_equal(data.train.x, again.train.x)
    assert not np.array_equal(data.train.x, digits(seed=1).train.x)


def test_preprocessing_is_fitted():
    assert abs(digits(preprocess=[MeanImage()]).preprocessing[0].mean_).max() > 1


def test_the_loader_is_used_where_the_file_lies_elsewhere(monkeypatch):
    expected = digits()
    monkeypatch.setattr(sources, "DIGITS_FILE", "nowhere.csv.gz")
    assert np.array_equal(digits().train.x, expected.train.x)


def test_without_scikit_learn_the_error_names_it(monkeypatch):
    monkeypatch.setattr(sources, "find_spec", lambda name: importlib.util.find_spec(f"absent_{name}"))
    with pytest.raises(DataError, match="pip install scikit-learn"):
        digits()
