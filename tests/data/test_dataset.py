"""Data sets: splits, preprocessing without leakage, small samples, and every complaint."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from babysit.data.dataset import Dataset, Split, split, split_rows
from babysit.data.preprocessing import MeanImage, Standardize
from babysit.data.sources import digits
from babysit.data.validity import validate
from babysit.errors import DataError


@pytest.fixture
def data() -> Dataset:
    return digits()


def made(x=None, y=None, **changes) -> Dataset:
    """Four good training rows of two classes and one validation row, with changes."""
    train = Split(np.eye(4) if x is None else x, np.array([0, 1, 0, 1]) if y is None else y)
    val = Split(train.x[:1], train.y[:1])
    return replace(Dataset("made", train, val, classes=("a", "b")), **changes)


def test_what_a_data_set_says_of_itself(data):
    assert (data.input_shape, data.task, data.num_classes) == ((1, 8, 8), "classification", 10)
    regression = made(y=np.zeros(4, dtype=np.float32), classes=())
    assert (regression.task, regression.num_classes) == ("regression", 0)
    assert made(classes=()).num_classes == 2


def test_inputs_without_preprocessing_are_float32(data):
    x = data.inputs(data.train.x)
    assert x.dtype == np.float32
    assert np.array_equal(x, data.train.x)


def test_preprocessing_is_fitted_on_the_training_split_only(data):
    centred = data.preprocessed([Standardize()])
    train, val = (centred.inputs(part.x).astype(np.float64) for part in (centred.train, centred.val))
    assert abs(train.mean(axis=0)).max() < 1e-6
    assert abs(val.mean(axis=0)).max() > 1e-2  # the validation split kept its own mean: nothing leaked
    altered = replace(data, val=Split(data.val.x + 100, data.val.y), test=None).preprocessed([Standardize()])
    assert np.array_equal(altered.preprocessing[0].mean_, centred.preprocessing[0].mean_)


def test_each_step_is_fitted_on_the_output_of_the_one_before(data):
    both = data.preprocessed([MeanImage(), Standardize()])
    assert abs(both.preprocessing[1].mean_).max() < 1e-5
    in_turn = data.preprocessed([MeanImage()]).preprocessed([Standardize()])
    assert len(in_turn.preprocessing) == 2
    assert np.array_equal(in_turn.inputs(data.val.x), both.inputs(data.val.x))


def test_the_callers_steps_stay_unfitted_and_the_data_set_unchanged(data):
    step = MeanImage()
    data.preprocessed([step])
    assert step.state() == {}
    assert data.preprocessing == ()
    assert data.preprocessed([]).preprocessing == ()


def test_scikit_learns_transformers_are_steps_too():
    x = np.random.default_rng(0).normal(3, 2, (4, 5))
    scaled = made(x=x).preprocessed([StandardScaler()])
    assert scaled.inputs(x).dtype == np.float32
    assert abs(scaled.inputs(x).mean()) < 1e-6


def test_the_tiny_subset_spreads_over_the_classes(data):
    tiny = data.preprocessed([MeanImage()]).tiny(23, seed=1)
    counts = np.bincount(tiny.train.y)
    assert (len(tiny.train), counts.min(), counts.max()) == (23, 2, 3)
    assert tiny.val is tiny.train
    assert tiny.test is None
    assert len(tiny.preprocessing) == 1
    assert np.array_equal(data.tiny(23, seed=1).train.x, tiny.train.x)
    assert not np.array_equal(data.tiny(23, seed=2).train.x, tiny.train.x)
    assert len(data.tiny(10_000).train) == len(data.train)


def test_the_tiny_subset_takes_what_a_rare_class_has():
    y = np.array([0] * 90 + [1] * 3)
    tiny = made(x=np.arange(93.0)[:, None], y=y).tiny(20)
    assert np.bincount(tiny.train.y).tolist() == [17, 3]


def test_the_tiny_subset_of_a_regression():
    tiny = made(y=np.arange(4, dtype=np.float32), classes=()).tiny(3)
    assert len(np.unique(tiny.train.y)) == 3


def test_a_sample_is_seeded_and_without_replacement(data):
    sample = data.sample(data.train, 200, seed=0)
    assert len(np.unique(sample.x.reshape(200, -1), axis=0)) == 200
    assert np.array_equal(sample.x, data.sample(data.train, 200, seed=0).x)
    assert not np.array_equal(sample.x, data.sample(data.train, 200, seed=1).x)
    assert data.sample(data.val, 1000, seed=0) is data.val


@given(
    total=st.integers(3, 200),
    val=st.floats(0, 0.4),
    test=st.integers(0, 1),
    seed=st.integers(0, 5),
    classes=st.integers(0, 6),
)
@settings(max_examples=80, deadline=None)
def test_splits_partition_the_rows(total, val, test, seed, classes):
    labels = np.random.default_rng(seed).integers(0, classes, total) if classes else None
    parts = split_rows(total, val=val, test=test, seed=seed, labels=labels)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(total))
    assert (len(parts[1]), len(parts[2])) == (round(total * val), test)


def test_stratified_splits_keep_each_classs_share():
    y = np.repeat([0, 1, 2], [600, 300, 9])
    train, val, test = split(np.arange(909)[:, None], y, val=0.1, test=0.2, seed=0, stratify=True)
    for part, share in ((train, 0.7), (val, 0.1), (test, 0.2)):
        np.testing.assert_allclose(
            np.bincount(part.y, minlength=3), np.array([600, 300, 9]) * share, atol=1.01
        )


def test_the_split_depends_on_the_seed_only():
    rows = [split_rows(50, val=5, test=5, seed=seed)[1].tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(("val", "test"), [(10, 0), (0.5, 0.5), (-1, 0), (1.0, 0), (float("nan"), 0)])
def test_impossible_splits_are_refused(val, test):
    with pytest.raises(DataError, match="fix"):
        split(np.zeros((10, 1)), np.zeros(10), val=val, test=test, seed=0)


def test_a_data_set_can_be_sent_to_another_process(data):
    again = pickle.loads(pickle.dumps(data.preprocessed([MeanImage()])))
    assert np.array_equal(again.inputs(data.val.x), data.preprocessed([MeanImage()]).inputs(data.val.x))


def test_a_good_data_set_passes():
    good = made()
    assert validate(good) is good
    assert validate(made(y=np.zeros((4, 3), dtype=np.float32), classes=()))


def with_value(value: float) -> np.ndarray:
    x = np.eye(4)
    x[2, 1] = value
    return x


@pytest.mark.parametrize(
    ("dataset", "problem"),
    [
        (made(y=np.zeros(4, dtype=int)), "one class only"),
        (made(y=np.array([0, 1, 2, 1])), r"training split has label 2 in row 2 .* from 0 to 1"),
        (made(y=np.array([0, 1, -1, 1])), "label -1 in row 2"),
        (made(y=np.array([[0], [1], [0], [1]])), "labels of type int64 and shape"),
        (made(y=np.array(["a", "b", "a", "b"])), "labels of type <U1"),
        (made(y=np.array([0, 1, 0])), "4 inputs but 3 targets"),
        (made(y=np.array([0.0, np.nan, 1.0, 2.0], dtype=np.float32)), "target nan in row 1"),
        (made(x=np.zeros(4)), "inputs of type float64 and shape"),
        (made(x=np.full((4, 2), "a")), "inputs of type <U1"),
        (made(x=with_value(np.nan)), r"holds nan in row 2 \(from 0\), position \[1\]"),
        (made(x=with_value(np.inf), feature_names=("p", "q", "r", "s")), "inf in row 2 .* column 'q'"),
        (made(feature_names=("p", "q")), "4 columns but 2 feature names"),
        (made(val=Split(np.zeros((0, 4)), np.zeros(0, dtype=int))), "validation split is empty"),
        (
            made(test=Split(np.zeros((1, 3)), np.zeros(1, dtype=int))),
            r"test split has examples of shape \[3\]",
        ),
        (
            made(y=np.ones(4, dtype=np.float32), test=Split(np.eye(4), np.zeros(4, dtype=int))),
            "targets of type",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_trained_on_is_refused(dataset, problem):
    with pytest.raises(DataError, match=problem) as caught:
        validate(dataset)
    assert caught.value.problem.startswith("made: ")
    assert caught.value.fix
