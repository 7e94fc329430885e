"""The checks that every data set passes before anything trains on it."""

from __future__ import annotations

import numpy as np

from babysit.data.dataset import Dataset, Split
from babysit.data.preprocessing import chunks
from babysit.data.rows import LARGEST, Inputs, Rows, beyond_float32, spread
from babysit.errors import DataError

_SAMPLED = 256  # rows that are not in memory


def validate(dataset: Dataset) -> Dataset:
    """Checks that a data set can be trained on; every source calls it.

    Args:
        dataset: before or after preprocessing.

    Returns:
        The same data set.

    Raises:
        DataError: splits that are empty or disagree in shape, fewer than two classes, labels that are not
            integers in 0..C-1, values that are NaN or infinite; the message names split, row and column.

    Example:
        >>> rows = Split(np.zeros((2, 3)), np.array([0, 0]))
        >>> validate(Dataset("mine", rows, rows))
        Traceback (most recent call last):
        babysit.errors.DataError: mine: the training split has one class only (label 0)
          fix: bring examples of at least two classes, or use float targets for regression
    """
    for name, part in (("training", dataset.train), ("validation", dataset.val), ("test", dataset.test)):
        if part is None:
            continue
        where = f"{dataset.name}: the {name} split"
        _check_shapes(dataset, where, part)
        _check_finite(dataset, where, part)
        if dataset.task == "classification":
            _check_labels(dataset, where, part)
        elif part.y.dtype.kind != "f" or part.y.ndim > 2:
            raise DataError(
                f"{where} has targets of type {part.y.dtype} and shape {list(part.y.shape)}",
                fix="give float targets [N] or [N, targets] in every split",
            )
    if dataset.task == "classification" and len(np.unique(dataset.train.y)) < 2:
        problem = f"{dataset.name}: the training split has one class only (label {dataset.train.y[0]})"
        raise DataError(
            problem, fix="bring examples of at least two classes, or use float targets for regression"
        )
    return dataset


def _check_shapes(dataset: Dataset, where: str, part: Split) -> None:
    if part.x.ndim < 2 or part.x.dtype.kind not in "buif":
        problem = f"{where} has inputs of type {part.x.dtype} and shape {list(part.x.shape)}"
        raise DataError(problem, fix="inputs must be numbers of shape [N, ...]; reshape one column to [N, 1]")
    if len(part.x) != len(part.y):
        problem = f"{where} has {len(part.x)} inputs but {len(part.y)} targets"
        raise DataError(problem, fix="give one target for every input")
    if part.x.size == 0:
        raise DataError(f"{where} is empty (shape {list(part.x.shape)})", fix="give it at least one example")
    expected = dataset.train.x.shape[1:]
    if part.x.shape[1:] != expected:
        problem = f"{where} has examples of shape {list(part.x.shape[1:])}, training has {list(expected)}"
        raise DataError(problem, fix="bring all splits to one shape")
    if dataset.feature_names and len(dataset.feature_names) != expected[0]:
        problem = f"{where} has {expected[0]} columns but {len(dataset.feature_names)} feature names"
        raise DataError(problem, fix="give one name for every column, or none")


def _check_finite(dataset: Dataset, where: str, part: Split) -> None:
    bad = _first_not_finite(part.x)
    if bad is not None:
        row, *position = bad
        place = (
            f"column {dataset.feature_names[position[0]]!r}"
            if dataset.feature_names
            else f"position {position}"
        )
        problem = f"{where} holds {np.asarray(part.x)[bad]} in row {row} (from 0), {place}"
        raise DataError(problem, fix=f"correct the value, remove the row, or fill it in; {LARGEST}")
    bad = _first_not_finite(part.y)
    if bad is not None:
        problem = f"{where} holds the target {part.y[bad]} in row {bad[0]} (from 0)"
        raise DataError(problem, fix="correct the target or remove the row")


def _check_labels(dataset: Dataset, where: str, part: Split) -> None:
    if part.y.dtype.kind not in "iu" or part.y.ndim != 1:
        problem = f"{where} has labels of type {part.y.dtype} and shape {list(part.y.shape)}"
        raise DataError(
            problem, fix="labels must be integers of shape [N]; take argmax(axis=1) of one-hot labels"
        )
    outside = np.flatnonzero((part.y < 0) | (part.y >= dataset.num_classes))
    if len(outside):
        label, last = part.y[outside[0]], dataset.num_classes - 1
        problem = f"{where} has label {label} in row {outside[0]} (from 0), but labels go from 0 to {last}"
        raise DataError(problem, fix="number the classes from 0 to C-1, or name them all in classes=")


def _first_not_finite(values: Inputs) -> tuple[int, ...] | None:
    """Finds the position of the first number that float32 cannot hold."""
    if isinstance(values, Rows):  # reading all takes as long as an epoch: they are checked when read
        spread(values, _SAMPLED)[:]
        return None
    if values.dtype.kind != "f":
        return None
    for start, rows in chunks(values):
        bad = beyond_float32(rows)
        if len(bad):
            row, *position = bad[0].tolist()
            return (start + row, *position)
    return None
