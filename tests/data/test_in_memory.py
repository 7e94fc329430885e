"""The user's own arrays, in memory and in .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from babysit.data.in_memory import arrays, npz
from babysit.data.preprocessing import Standardize
from babysit.errors import DataError

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 4


def test_arrays_keep_their_type_and_order():
    data = arrays(X, Y, X[:5], Y[:5], X[5:9], Y[5:9], ("a", "b", "c", "d"), name="mine")
    assert np.array_equal(data.train.x, X)
    assert data.train.y.dtype == np.int64
    assert (data.name, data.classes, len(data.test)) == ("mine", ("a", "b", "c", "d"), 4)
    pixels = arrays(X.astype(np.uint8), Y, X[:5].astype(np.uint8), Y[:5])
    assert pixels.train.x.dtype == np.uint8
    assert pixels.classes == ("0", "1", "2", "3")
    assert pixels.test is None


def test_tensors_and_lists_are_taken():
    data = arrays(torch.from_numpy(X), torch.from_numpy(Y), X.tolist(), Y.tolist())
    assert np.array_equal(data.train.x, X)
    assert np.array_equal(data.val.y, Y)


@pytest.mark.parametrize(
    ("y", "task", "expected", "kind"),
    [
        (Y, "auto", "classification", np.int64),
        (Y.astype(np.uint8), "auto", "classification", np.int64),
        (Y > 1, "auto", "classification", np.int64),
        (Y[:, None], "auto", "classification", np.int64),
        (Y.astype(float), "auto", "regression", np.float32),
        (Y.astype(float), "classification", "classification", np.int64),
        (Y, "regression", "regression", np.float32),
        (np.stack([X[:, 0]] * 2, axis=1), "auto", "regression", np.float32),
    ],
)
def test_the_task_follows_the_targets(y, task, expected, kind):
    data = arrays(X, y, X, y, task=task)
    assert (data.task, data.train.y.dtype) == (expected, kind)


def test_texts_become_labels():
    names = np.array(["dog", "cat", "ant", "dog"])
    data = arrays(X[:4], names, X[:1], names[:1])
    assert data.classes == ("ant", "cat", "dog")
    assert data.train.y.tolist() == [2, 1, 0, 2]
    assert arrays(X[:4], names, X[:1], names[:1], classes=("dog", "cat", "ant")).train.y.tolist() == [
        0,
        1,
        2,
        0,
    ]


def test_preprocessing_is_fitted_on_the_training_rows():
    data = arrays(X, Y, X + 1, Y, preprocess=[Standardize()])
    np.testing.assert_allclose(data.inputs(data.train.x).mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((X, Y, X, Y[:3]), "40 inputs but 3 targets"),
        ((X, Y, X, None), "not an array: None"),
        ((X, Y, X, Y, X), "3 splits have x, 2 have y"),
        ((X, Y, X, Y, X, Y, ("a", "b")), "label 2 in row 2"),
        ((X, np.eye(4)[Y].astype(int), X, np.eye(4)[Y].astype(int)), "argmax"),
        ((X, Y * 0, X, Y * 0), "one class only"),
        (([[1.0], [1.0, 2.0]], [0, 1], X, Y), "do not form an array"),
        ((torch.zeros(4, 1, requires_grad=True), Y[:4], X, Y), "detach"),
        ((X, Y, X[:, :2], Y), r"examples of shape \[2\]"),
        ((X + np.nan, Y, X, Y), "holds nan in row 0"),
        ((X.astype(object), Y, X, Y), "inputs of type object"),
        ((X, ["a", "b"] * 20, X, Y, None, None, ("a",)), "'b' is not among the classes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_cannot_be_used_are_refused(arguments, problem):
    with pytest.raises(DataError, match=problem):
        arrays(*arguments)


@pytest.mark.parametrize(
    ("y", "task", "problem"),
    [
        (Y + 0.5, "classification", "not whole numbers"),
        (np.array(["a", "b"] * 20), "regression", "targets are text"),
        (Y, "ranking", "no task 'ranking'"),
    ],
)
def test_targets_that_do_not_fit_the_task_are_refused(y, task, problem):
    with pytest.raises(DataError, match=problem):
        arrays(X, y, X, y, task=task)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.npz"


def test_npz_with_splits_keeps_them(path):
    np.savez(path, x_train=X, y_train=Y, x_val=X[:8], y_val=Y[:8], x_test=X[:4], y_test=Y[:4])
    data = npz(path)
    assert (data.name, len(data.train), len(data.val), len(data.test)) == ("mine.npz", 40, 8, 4)


def test_npz_without_splits_draws_them_stratified(path):
    np.savez_compressed(path, x=X, y=Y)
    data, again = npz(path, val=8, test=0.2), npz(path, val=8, test=0.2)
    assert (len(data.train), len(data.val), len(data.test)) == (24, 8, 8)
    assert np.bincount(data.val.y).tolist() == [2, 2, 2, 2]
    assert np.array_equal(data.train.x, again.train.x)
    assert not np.array_equal(data.train.x, npz(path, val=8, test=0.2, seed=1).train.x)
    assert npz(path, test=0).test is None


def test_npz_without_validation_draws_it_from_training(path):
    np.savez(path, x_train=X, y_train=Y, x_test=X[:4], y_test=Y[:4])
    data = npz(path, val=0.25)
    assert (len(data.train), len(data.val), len(data.test)) == (30, 10, 4)


def test_npz_of_a_regression(path):
    np.savez(path, x=X, y=X[:, :2])
    assert npz(path).train.y.shape == (32, 2)


@pytest.mark.parametrize(
    ("held", "problem"),
    [
        ({"inputs": X, "labels": Y}, "holds inputs, labels, not x and y"),
        ({"x": X, "y": np.array([object()] * 40)}, "cannot be read as an .npz file: .*allow_pickle"),
        ({"x": X, "y": Y[:3]}, r"x of shape \[40, 3\] and y of shape \[3\]"),
        ({"x": X, "y": Y * 0}, "mine.npz: the training split has one class only"),
        ({"x_train": X, "y_train": Y, "x_val": X}, "not an array: None"),
        ({"x": X * np.inf, "y": Y}, "mine.npz: .* in row 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_npz_with_unusable_arrays_is_refused(path, held, problem):
    np.savez(path, **held)
    with pytest.raises(DataError, match=problem):
        npz(path)


@pytest.mark.parametrize("content", [b"", b"not a zip"], ids=["empty", "text"])
def test_files_that_are_no_npz_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine.npz cannot be read as an .npz file"):
        npz(path)


def test_a_zip_of_something_else_a_bare_array_and_a_truncated_file_are_refused(path):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match="holds nothing, not x and y"):
        npz(path)
    with path.open("wb") as file:
        np.save(file, X)
    with pytest.raises(DataError, match="one bare array"):
        npz(path)
    np.savez(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match="cannot be read"):
        npz(path)


def test_an_absent_npz_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        npz(tmp_path / "absent.npz")
    with pytest.raises(DataError, match="is a folder"):
        npz(tmp_path)


@pytest.mark.usefixtures("refuse_open")
def test_an_unreadable_npz_is_refused(path):
    with pytest.raises(DataError, match="may not be read"):
        npz(path)
