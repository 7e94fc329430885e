"""Data sets from the user's own arrays, in memory or in an .npz file."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babysit.data.dataset import Dataset, Split, split_rows
from babysit.data.files import read
from babysit.data.idx import DEFLATED_MOST
from babysit.data.preprocessing import Array, Transformer
from babysit.data.targets import check_task, converted
from babysit.data.validity import validate
from babysit.errors import DataError

PARTS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")


def arrays(
    x_train: Any,
    y_train: Any,
    x_val: Any,
    y_val: Any,
    x_test: Any = None,
    y_test: Any = None,
    classes: Sequence[str] = (),
    *,
    task: str = "auto",
    name: str = "arrays",
    feature_names: Sequence[str] = (),
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Builds a data set from arrays in memory.

    Args:
        x_train, x_val, x_test: rows [N, ...] of numbers: NumPy arrays, CPU tensors or nested lists.
        y_train, y_val, y_test: labels [N] (integers 0..C-1, or texts), or values [N] or [N, targets].
        classes: the classes' names by label. Default: the sorted texts, or "0".."C-1".
        task: "classification", "regression", or "auto", where floats mean regression. Default: "auto".
        name: shown in messages.
        feature_names: the columns' names, for tables.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: the arrays cannot be used; the message names split, row and column.

    Example:
        >>> data = arrays([[0.0], [1.0], [2.0]], [0, 1, 1], [[0.5]], [0])
        >>> data.task, data.num_classes, data.input_shape
        ('classification', 2, (1,))
    """
    check_task(task)
    inputs = [_array(x, f"{name}: the inputs") for x in (x_train, x_val, *_given(x_test))]
    inputs = [x.astype(np.uint8) if x.dtype == np.bool_ else x for x in inputs]
    targets = [_array(y, f"{name}: the targets") for y in (y_train, y_val, *_given(y_test))]
    if len(inputs) != len(targets):
        raise DataError(
            f"{name}: {len(inputs)} splits have x, {len(targets)} have y", fix="give both or neither"
        )
    y, names = converted(targets, task, tuple(classes), name)
    splits = [Split(*pair) for pair in zip(inputs, y, strict=True)]
    test = splits[2] if len(splits) == 3 else None
    dataset = Dataset(name, splits[0], splits[1], test, names, feature_names=tuple(feature_names))
    return validate(dataset).preprocessed(preprocess)


def npz(
    path: str | Path,
    *,
    classes: Sequence[str] = (),
    task: str = "auto",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Loads an .npz file with arrays x and y, or x_train, y_train, x_val, y_val, x_test, y_test.

    Splits that the file does not hold are drawn with ``seed``: all of them from x and y, or validation from
    x_train. There is no test split if the file has x_train but no x_test.

    Args:
        path: the file; pickled objects in it are refused.
        classes: the classes' names by label.
        task: "classification", "regression", or "auto", where floats mean regression. Default: "auto".
        val, test: counts or fractions, for splits that are drawn. Default: a tenth each.
        seed: of the split.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: absent, damaged, no such arrays, or arrays that cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/mine.npz", x=np.zeros((20, 3)), y=np.arange(20) % 2)
        ...     data = npz(f"{folder}/mine.npz")
        >>> len(data.train), len(data.val), len(data.test)
        (16, 2, 2)
    """
    path = Path(path).expanduser()
    fix = "save it with np.savez(path, x=..., y=...), numbers or text only"
    held = read(path, _npz_arrays, kind="an .npz file", fix=fix)
    if "x" in held and "y" in held:
        held |= _drawn(held["x"], held["y"], val, test, seed, task, path)
    if "x_train" not in held or "y_train" not in held:
        problem = f"{path} holds {', '.join(held) or 'nothing'}, not x and y or x_train and y_train"
        raise DataError(problem, fix="name the arrays so: np.savez(path, x=..., y=...)")
    if "x_val" not in held and "y_val" not in held:
        held |= _drawn(held["x_train"], held["y_train"], val, 0, seed, task, path)
    parts: dict[str, Any] = {name: held.get(name) for name in PARTS}
    return arrays(**parts, classes=classes, task=task, name=path.name, preprocess=preprocess)


def _npz_arrays(file: BinaryIO) -> dict[str, Array]:
    opened = np.load(file, allow_pickle=False)
    if not isinstance(opened, np.lib.npyio.NpzFile):
        raise ValueError("it holds one bare array (.npy)")
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            _check_promise(archive, member, size)
    held = {key: opened[key] for key in opened.files}
    return {key: value for key, value in held.items() if isinstance(value, np.ndarray)}


def _check_promise(archive: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> None:
    """Refuses an array that its file cannot hold, before memory is allocated for it."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is not packed as np.savez_compressed does it")
    with archive.open(member) as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            return  # not an array
        file.seek(0)
        first = np.lib.format.read_magic(file)
        reading = (
            np.lib.format.read_array_header_1_0 if first == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = reading(file)
    packed = min(member.compress_size, size)
    if math.prod(shape) * kind.itemsize > min(member.file_size, DEFLATED_MOST * packed):
        raise ValueError(
            f"{member.filename} says that it holds {kind} of shape {list(shape)}, more than its {packed} "
            "bytes can hold"
        )


def _drawn(x: Array, y: Array, val: float, test: float, seed: int, task: str, path: Path) -> dict[str, Array]:
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        problem = f"{path} holds x of shape {list(x.shape)} and y of shape {list(y.shape)}"
        raise DataError(problem, fix="give one target for every row of x")
    if x.size == 0:
        raise DataError(f"{path} holds x of shape {list(x.shape)}: no value", fix="give rows with values")
    stratify = y.ndim == 1 and (task == "classification" or (task == "auto" and y.dtype.kind != "f"))
    parts = split_rows(len(y), val=val, test=test, seed=seed, labels=y if stratify else None)
    drawn: dict[str, Array] = {}
    for name, rows in zip(("train", "val", "test"), parts, strict=True):
        if name != "test" or len(rows):
            drawn |= {f"x_{name}": x[rows], f"y_{name}": y[rows]}
    return drawn


def _array(values: Any, what: str) -> Array:
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # ragged lists; tensors on a GPU or with gradients
        fix = "make all rows equally long; for tensors pass x.detach().cpu()"
        raise DataError(f"{what} do not form an array: {error}", fix=fix) from error
    if array.ndim == 0:
        raise DataError(f"{what} are not an array: {values!r}", fix="give one row for every example")
    return array


def _given(values: Any) -> list[Any]:
    return [] if values is None else [values]
