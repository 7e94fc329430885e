"""Conversion of targets to int64 labels or float32 values."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from babysit.data.preprocessing import Array
from babysit.errors import DataError

MOST_CLASSES = 1_000_000
"""A number beyond this and beyond the number of examples is not a label."""
TASKS = ("auto", "classification", "regression")


def check_task(task: str) -> None:
    """Raises DataError unless ``task`` is one of "auto", "classification" and "regression"."""
    if task not in TASKS:
        raise DataError(f"there is no task {task!r}", fix=f"use one of {', '.join(TASKS)}")


def as_values(values: Array, where: str) -> Array:
    """Converts targets for regression: float32 of the same shape.

    Raises:
        DataError: they are not numbers.

    Example:
        >>> as_values(np.array([1, 2]), "mine").dtype
        dtype('float32')
    """
    if values.dtype.kind not in "buif":
        problem = f"{where}: the targets are text, not numbers (the first is {values.ravel()[:1].tolist()})"
        raise DataError(problem, fix='use task="classification", or give numbers')
    with np.errstate(over="ignore"):  # too large numbers become infinite and are refused later
        return np.asarray(values, dtype=np.float32)


def as_labels(values: Array, where: str, classes: Sequence[str] = ()) -> tuple[Array, tuple[str, ...]]:
    """Converts labels for classification: numbers stay as they are, texts become their place among the
    classes.

    Args:
        values: [N] integers, whole floats, booleans or texts; [N, 1] too.
        where: names the data in errors.
        classes: the classes' names by label. Default: the sorted texts, or "0".."C-1" for numbers.

    Returns:
        (labels int64 [N], names).

    Raises:
        DataError: a number is not whole, or a text is not among the classes.

    Example:
        >>> labels, names = as_labels(np.array(["dog", "cat", "dog"]), "mine")
        >>> labels.tolist(), names
        ([1, 0, 1], ('cat', 'dog'))
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind in "USO":
        return _named_labels(_texts(values, where), where, classes)
    if values.dtype.kind not in "buif" or not (np.isfinite(values) & (values == np.trunc(values))).all():
        problem = f"{where}: the labels are not whole numbers"
        raise DataError(problem, fix='use task="regression" for real values, or correct the labels')
    highest = int(values.max()) if values.size else -1
    if highest >= max(MOST_CLASSES, values.size):
        problem = f"{where}: the labels go up to {highest}, so there would be {highest + 1} classes"
        raise DataError(problem, fix='number the classes from 0, or use task="regression" for real values')
    if values.size and values.min() < np.iinfo(np.int64).min:
        raise DataError(f"{where}: there is a label {values.min()}", fix="number the classes from 0")
    labels = values.astype(np.int64)
    return labels, tuple(classes) or tuple(str(label) for label in range(highest + 1))


def converted(
    parts: Sequence[Array], task: str, classes: tuple[str, ...], where: str
) -> tuple[list[Array], tuple[str, ...]]:
    """Converts the targets of all splits alike.

    Args:
        parts: one array [N, ...] per split.
        task: one of ``TASKS``; with "auto", floats are values unless classes are named.
        classes: the classes' names by label.
        where: names the data in errors.

    Returns:
        (labels int64 [N] or values float32 per split; the classes' names, none for values).

    Raises:
        DataError: they cannot be targets of this task.

    Example:
        >>> converted([np.array(["b", "a"]), np.array(["a"])], "auto", (), "mine")
        ([array([1, 0]), array([0])], ('a', 'b'))
    """
    as_floats = all(part.dtype.kind == "f" for part in parts) and not classes
    if task == "regression" or (task == "auto" and as_floats):
        return [as_values(part, where) for part in parts], ()
    if any(part.ndim != 1 and part.shape[1:] != (1,) for part in parts):
        problem = f"{where}: labels must have shape [N], not {[list(part.shape) for part in parts]}"
        raise DataError(problem, fix="take argmax(axis=1) of one-hot labels, or give floats for regression")
    labels, names = as_labels(np.concatenate([part.ravel() for part in parts]), where, classes)
    return np.split(labels, np.cumsum([len(part) for part in parts])[:-1]), names


def numbered(values: Array) -> tuple[Array, tuple[str, ...]]:
    """Numbers the distinct codes of labels in sorted order.

    Example:
        >>> labels, names = numbered(np.array([8, 4, 8, 6]))
        >>> labels.tolist(), names
        ([2, 0, 2, 1], ('4', '6', '8'))
    """
    distinct, labels = np.unique(values, return_inverse=True)
    names = (int(v) if isinstance(v, float) and v.is_integer() else v for v in distinct.tolist())
    return labels.astype(np.int64), tuple(map(str, names))


def _named_labels(values: Array, where: str, classes: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    names = tuple(classes) or tuple(np.unique(values).tolist())
    number = {name: label for label, name in enumerate(names)}
    unknown = [value for value in values.tolist() if value not in number]
    if unknown:
        raise DataError(
            f"{where}: {unknown[0]!r} is not among the classes {list(names)}", fix="add it to classes="
        )
    return np.array([number[value] for value in values.tolist()], dtype=np.int64), names


_AS_WRITTEN = "take an undamaged copy of the file"


def _texts(values: Array, where: str) -> Array:
    try:
        texts: Array = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(str)
    except (UnicodeDecodeError, SystemError, ValueError) as error:
        raise DataError(f"{where}: the labels are not text: {error}", fix=_AS_WRITTEN) from error
    highest = np.ascontiguousarray(texts).view(np.uint32).max(initial=0) if texts.dtype.itemsize else 0
    if highest > sys.maxunicode:  # NumPy accepts any number in a damaged file
        raise DataError(f"{where}: the labels are not text: {highest:#x} is not a character", fix=_AS_WRITTEN)
    return texts
