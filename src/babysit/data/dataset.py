"""A data set: its splits, its fitted preprocessing, and the checks that every source passes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from babysit.data.preprocessing import Array, Transformer, chunks
from babysit.errors import DataError
from babysit.seeding import numpy_generator


@dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split.

    Attributes:
        x: [N, ...] as it came; uint8 images stay uint8.
        y: [N] int64 labels for classification; [N] or [N, targets] float32 for regression.

    Example:
        >>> len(Split(np.zeros((3, 2)), np.array([0, 1, 1])))
        3
    """

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set: training, validation and test split, and the preprocessing fitted on the first.

    Attributes:
        name: for people, e.g. "cifar10".
        train, val, test: the splits; there may be no test split.
        classes: the classes' names by label; empty for regression.
        preprocessing: fitted steps, applied in this order.
        feature_names: the columns' names for tables; empty otherwise.

    Example:
        >>> from babysit.data.sources import digits
        >>> data = digits()
        >>> data.input_shape, data.num_classes, len(data.train), len(data.val), len(data.test)
        ((1, 8, 8), 10, 1257, 180, 360)
    """

    name: str
    train: Split
    val: Split
    test: Split | None = None
    classes: tuple[str, ...] = ()
    preprocessing: tuple[Transformer, ...] = ()
    feature_names: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example as the network sees it, after preprocessing, without N."""
        return self.inputs(self.train.x[:1]).shape[1:]

    @property
    def task(self) -> str:
        """The kind of targets: "classification" if they are integers, "regression" if they are floats."""
        return "regression" if self.train.y.dtype.kind == "f" else "classification"

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 for regression."""
        if self.task == "regression":
            return 0
        return len(self.classes) or int(self.train.y.max()) + 1

    def inputs(self, x: Array) -> Array:
        """What the network sees: ``x`` through the fitted preprocessing, as float32.

        Args:
            x: rows [N, ...] of the kind in ``train.x``.

        Returns:
            float32, contiguous, [N, ...]. It may be ``x`` itself where there is nothing to do.

        Example:
            >>> from babysit.data.sources import digits
            >>> data = digits()
            >>> data.inputs(data.val.x).dtype
            dtype('float32')
        """
        for step in self.preprocessing:
            x = step.transform(x)
        return np.ascontiguousarray(x, dtype=np.float32)

    def preprocessed(self, steps: Sequence[Transformer]) -> Dataset:
        """The same data with further preprocessing, fitted on the training split and on nothing else.

        Args:
            steps: unfitted steps; each is fitted on the output of the one before. They are copied, so the
                caller's own objects stay unfitted.

        Returns:
            A new data set; the arrays are shared.

        Raises:
            DataError: a step cannot be fitted on these data.

        Example:
            >>> from babysit.data.preprocessing import MeanImage
            >>> from babysit.data.sources import digits
            >>> digits().preprocessed([MeanImage()]).preprocessing
            (MeanImage(),)
        """
        fitted: list[Transformer] = list(self.preprocessing)
        x = self.inputs(self.train.x) if fitted and steps else self.train.x
        for number, step in enumerate(steps, start=1):
            step = copy.deepcopy(step)
            step.fit(x)
            fitted.append(step)
            if number < len(steps):
                x = step.transform(x)
        return replace(self, preprocessing=tuple(fitted))

    def tiny(self, count: int = 20, seed: int = 0) -> Dataset:
        """A few training examples, spread over the classes as evenly as possible.

        A healthy network overfits them to (almost) zero loss. Source: CS231n (2017) lecture 6, "Make sure
        that you can overfit very small portion of the training data".

        Args:
            count: how many examples (default 20, the lecture's); all of them if there are fewer.
            seed: which ones.

        Returns:
            A data set whose validation split is its training split; the preprocessing stays as it was
            fitted on all training examples.

        Example:
            >>> from babysit.data.sources import digits
            >>> np.bincount(digits().tiny(20).train.y).tolist()
            [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
        """
        order = numpy_generator(seed, "tiny").permutation(len(self.train))
        if self.task == "classification":
            order = order[np.argsort(_rank_in_class(self.train.y[order]), kind="stable")]
        few = _rows(self.train, order[:count])
        return replace(self, train=few, val=few, test=None)

    def sample(self, split: Split, count: int, seed: int) -> Split:
        """A fixed sample of a split's rows, without replacement; the whole split if it has no more rows.

        Args:
            split: e.g. ``data.train``.
            count: how many rows.
            seed: which ones.

        Example:
            >>> from babysit.data.sources import digits
            >>> data = digits()
            >>> len(data.sample(data.train, 100, seed=0))
            100
        """
        if count >= len(split):
            return split
        chosen = numpy_generator(seed, "sample").choice(len(split), count, replace=False)
        return _rows(split, np.sort(chosen))


def split(
    x: Array, y: Array, *, val: float, test: float = 0, seed: int = 0, stratify: bool = False
) -> tuple[Split, Split, Split | None]:
    """Seeded training, validation and test splits of one set of rows; they share no row.

    Args:
        x: rows [N, ...].
        y: targets [N, ...].
        val, test: how many rows: a count (integer) or a fraction of N (float in [0, 1)).
        seed: which rows.
        stratify: keep each class's share in every split (to within one row).

    Returns:
        (train, val, test); test is None where none was asked for.

    Raises:
        DataError: a count or fraction is impossible, or nothing is left to train on.

    Example:
        >>> train, val, test = split(np.zeros((10, 2)), np.arange(10), val=2, test=0.3)
        >>> len(train), len(val), len(test)
        (5, 2, 3)
    """
    everything = Split(x, y)
    labels = y if stratify else None
    train_rows, val_rows, test_rows = split_rows(len(y), val=val, test=test, seed=seed, labels=labels)
    kept = _rows(everything, test_rows) if len(test_rows) else None
    return _rows(everything, train_rows), _rows(everything, val_rows), kept


def split_rows(
    total: int, *, val: float, test: float, seed: int, labels: Array | None = None
) -> tuple[Array, Array, Array]:
    """The row numbers of (train, val, test), each in ascending order; see ``split``.

    Args:
        total: how many rows there are.
        val, test: counts or fractions.
        seed: which rows.
        labels: [total] to stratify by; None for no stratification.

    Example:
        >>> [len(rows) for rows in split_rows(10, val=0.1, test=0.2, seed=0)]
        [7, 1, 2]
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise DataError(f"seed={seed!r} is no whole number", cure="give e.g. seed=0")
    test_count, val_count = _row_count(test, total, "test"), _row_count(val, total, "val")
    if test_count + val_count >= total:
        problem = f"{total} rows leave none to train on with val={val} and test={test}"
        raise DataError(problem, cure="ask for fewer validation and test rows, or bring more data")
    order = numpy_generator(seed, "split").permutation(total)
    if labels is not None:
        order = spread_over_classes(order, labels)
    test_rows, val_rows, train_rows = np.split(order, [test_count, test_count + val_count])
    return np.sort(train_rows), np.sort(val_rows), np.sort(test_rows)


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
          cure: bring examples of at least two classes, or use float targets for regression
    """
    for where, part in _parts(dataset):
        _check_shapes(dataset, where, part)
        _check_finite(dataset, where, part)
        if dataset.task == "classification":
            _check_labels(dataset, where, part)
        elif part.y.dtype.kind != "f" or part.y.ndim > 2:
            raise DataError(
                f"{where} has targets of type {part.y.dtype} and shape {list(part.y.shape)}",
                cure="give float targets [N] or [N, targets] in every split",
            )
    if dataset.task == "classification" and len(np.unique(dataset.train.y)) < 2:
        problem = f"{dataset.name}: the training split has one class only (label {dataset.train.y[0]})"
        raise DataError(
            problem, cure="bring examples of at least two classes, or use float targets for regression"
        )
    return dataset


def _parts(dataset: Dataset) -> Iterator[tuple[str, Split]]:
    named = (("training", dataset.train), ("validation", dataset.val), ("test", dataset.test))
    for name, part in named:
        if part is not None:
            yield f"{dataset.name}: the {name} split", part


def _check_shapes(dataset: Dataset, where: str, part: Split) -> None:
    if part.x.ndim < 2 or part.x.dtype.kind not in "buif":
        problem = f"{where} has inputs of type {part.x.dtype} and shape {list(part.x.shape)}"
        raise DataError(
            problem, cure="inputs must be numbers of shape [N, ...]; reshape one column to [N, 1]"
        )
    if len(part.x) != len(part.y):
        problem = f"{where} has {len(part.x)} inputs but {len(part.y)} targets"
        raise DataError(problem, cure="give one target for every input")
    if part.x.size == 0:
        raise DataError(f"{where} is empty (shape {list(part.x.shape)})", cure="give it at least one example")
    expected = dataset.train.x.shape[1:]
    if part.x.shape[1:] != expected:
        problem = f"{where} has examples of shape {list(part.x.shape[1:])}, training has {list(expected)}"
        raise DataError(problem, cure="bring all splits to one shape")
    if dataset.feature_names and len(dataset.feature_names) != expected[0]:
        problem = f"{where} has {expected[0]} columns but {len(dataset.feature_names)} feature names"
        raise DataError(problem, cure="give one name for every column, or none")


def _check_finite(dataset: Dataset, where: str, part: Split) -> None:
    bad = _first_not_finite(part.x)
    if bad is not None:
        row, *position = bad
        place = (
            f"column {dataset.feature_names[position[0]]!r}"
            if dataset.feature_names
            else f"position {position}"
        )
        problem = f"{where} holds {part.x[bad]} in row {row} (from 0), {place}"
        raise DataError(problem, cure=f"correct the value, remove the row, or fill it in; {_LARGEST}")
    bad = _first_not_finite(part.y)
    if bad is not None:
        problem = f"{where} holds the target {part.y[bad]} in row {bad[0]} (from 0)"
        raise DataError(problem, cure="correct the target or remove the row")


def _check_labels(dataset: Dataset, where: str, part: Split) -> None:
    if part.y.dtype.kind not in "iu" or part.y.ndim != 1:
        problem = f"{where} has labels of type {part.y.dtype} and shape {list(part.y.shape)}"
        raise DataError(
            problem, cure="labels must be integers of shape [N]; take argmax(axis=1) of one-hot labels"
        )
    outside = np.flatnonzero((part.y < 0) | (part.y >= dataset.num_classes))
    if len(outside):
        label, last = part.y[outside[0]], dataset.num_classes - 1
        problem = f"{where} has label {label} in row {outside[0]} (from 0), but labels go from 0 to {last}"
        raise DataError(problem, cure="number the classes from 0 to C-1, or name them all in classes=")


_LARGEST = f"a network computes in float32, whose largest number is {np.finfo(np.float32).max:.1e}"


def _first_not_finite(values: Array) -> tuple[int, ...] | None:
    """Where the first number stands that float32 cannot hold."""
    if values.dtype.kind != "f":
        return None
    most = np.finfo(np.float32).max
    for start, rows in chunks(values):
        bad = np.argwhere(~(np.abs(rows) <= most))
        if len(bad):
            row, *position = bad[0].tolist()
            return (start + row, *position)
    return None


def _rows(part: Split, rows: Array) -> Split:
    return Split(part.x[rows], part.y[rows])


def _row_count(wanted: float, total: int, name: str) -> int:
    is_fraction = isinstance(wanted, float)
    is_number = isinstance(wanted, int | float | np.integer | np.floating) and not isinstance(wanted, bool)
    if not is_number or not wanted >= 0 or (is_fraction and wanted >= 1):
        problem = f"{name}={wanted!r} is neither a count of rows nor a fraction of them"
        raise DataError(problem, cure=f"give {name} as an integer >= 0 or a float in [0, 1)")
    return round(total * wanted) if is_fraction else int(wanted)


def _rank_in_class(labels: Array) -> Array:
    """For each row, how many rows of its class come before it."""
    by_class = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return rank


def spread_over_classes(order: Array, labels: Array) -> Array:
    """Reorders rows so that every run of them holds each class in proportion.

    Row k of a class with n rows is placed at (k + 1/2) / n of the way; ties keep the order they came in.
    """
    shuffled = labels[order]
    _, inverse, counts = np.unique(shuffled, return_inverse=True, return_counts=True)
    place = (_rank_in_class(shuffled) + 0.5) / counts[inverse]
    reordered: Array = order[np.argsort(place, kind="stable")]
    return reordered
