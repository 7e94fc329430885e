"""A data set: its splits, its fitted preprocessing, and the checks that every source passes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from babysit.data.prefetch import read_all
from babysit.data.preprocessing import Array, LearnedStatistics, Transformer
from babysit.data.rows import Inputs, Rows, Through, chosen, spread
from babysit.errors import DataError
from babysit.seeding import numpy_generator

SPLITS = ("train", "val", "test")

FIT_ROWS = 50_000
"""Most rows that preprocessing is fitted on if they are not in memory; each is read once or twice."""

_FIT_BYTES = 2**28  # of rows for a step that takes only an array


@dataclass(frozen=True, eq=False)
class Split:
    """The examples of one split.

    Attributes:
        x: [N, ...] of the source's type; uint8 images stay uint8. An array, or ``Rows`` read on demand.
        y: [N] int64 labels for classification; [N] or [N, targets] float32 for regression.

    Example:
        >>> len(Split(np.zeros((3, 2)), np.array([0, 1, 1])))
        3
    """

    x: Inputs
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set: training, validation and test split, and the preprocessing fitted on the first.

    Attributes:
        name: shown in messages, e.g. "cifar10".
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

    @property
    def streamed(self) -> bool:
        """True if the inputs are not in memory but are read on demand."""
        return isinstance(self.train.x, Rows)

    def inputs(self, x: Inputs) -> Array:
        """Applies the fitted preprocessing to ``x``; returns the network's input as float32.

        Args:
            x: rows [N, ...] of the kind in ``train.x``; all of them are read if they are ``Rows``.

        Returns:
            float32, contiguous, [N, ...]. It may be ``x`` itself if there is nothing to do.

        Example:
            >>> from babysit.data.sources import digits
            >>> data = digits()
            >>> data.inputs(data.val.x).dtype
            dtype('float32')
        """
        if isinstance(x, Rows):
            return read_all(Through(x, self.inputs))
        for step in self.preprocessing:
            x = step.transform(x)
        return np.ascontiguousarray(x, dtype=np.float32)

    def preprocessed(self, steps: Sequence[Transformer]) -> Dataset:
        """Adds preprocessing steps, fitted on the training split only.

        Of inputs that are not in memory, up to 50,000 training rows are read for it, evenly spread. A step of
        another library gets as many of them as fit into 256 MiB.

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
        if not steps:
            return self
        fitted: list[Transformer] = list(self.preprocessing)
        x = spread(self.train.x, FIT_ROWS) if isinstance(self.train.x, Rows) else self.train.x
        if self.preprocessing:
            x = Through(x, self.inputs) if isinstance(x, Rows) else self.inputs(x)
        for number, step in enumerate(steps, start=1):
            step = copy.deepcopy(step)
            if isinstance(x, Rows) and not isinstance(step, LearnedStatistics):
                row_bytes = x.dtype.itemsize * x.size // len(x)
                step.fit(spread(x, max(1, _FIT_BYTES // max(1, row_bytes)))[:])
            else:
                step.fit(x)  # type: ignore[arg-type]  # our own steps take Rows, too
            fitted.append(step)
            if number < len(steps):
                x = Through(x, step.transform) if isinstance(x, Rows) else step.transform(x)
        return replace(self, preprocessing=tuple(fitted))

    def tiny(self, count: int = 20, seed: int = 0) -> Dataset:
        """Picks a few training examples, spread over the classes as evenly as possible.

        A healthy network overfits them to (almost) zero loss. Source: CS231n (2017) lecture 6, "Make sure
        that you can overfit very small portion of the training data".

        Args:
            count: the number of examples, at most all. Default: 20, as in the lecture.
            seed: of the draw.

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
        """Draws a fixed sample of a split's rows without replacement; the whole split if it has no more rows.

        Args:
            split: e.g. ``data.train``.
            count: the number of rows.
            seed: of the draw.

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
    x: Inputs, y: Array, *, val: float, test: float = 0, seed: int = 0, stratify: bool = False
) -> tuple[Split, Split, Split | None]:
    """Splits rows into training, validation and test rows at random; no row is in two of them.

    Args:
        x: rows [N, ...].
        y: targets [N, ...].
        val, test: a count of rows (integer) or a fraction of N (float in [0, 1)).
        seed: of the draw.
        stratify: keep each class's share in every split (to within one row).

    Returns:
        (train, val, test); test is None if it has no rows.

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
    """Draws the row numbers of (train, val, test), each in ascending order; see ``split``.

    Args:
        total: the number of rows.
        val, test: counts or fractions.
        seed: of the draw.
        labels: [total] to stratify by; None for no stratification.

    Example:
        >>> [len(rows) for rows in split_rows(10, val=0.1, test=0.2, seed=0)]
        [7, 1, 2]
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool):
        raise DataError(f"seed={seed!r} is not a whole number", fix="give e.g. seed=0")
    test_count, val_count = _row_count(test, total, "test"), _row_count(val, total, "val")
    if test_count + val_count >= total:
        problem = f"{total} rows leave none to train on with val={val} and test={test}"
        raise DataError(problem, fix="ask for fewer validation and test rows, or bring more data")
    order = numpy_generator(seed, "split").permutation(total)
    if labels is not None:
        order = spread_over_classes(order, labels)
    test_rows, val_rows, train_rows = np.split(order, [test_count, test_count + val_count])
    return np.sort(train_rows), np.sort(val_rows), np.sort(test_rows)


def with_drawn(given: Mapping[str, Split], *, val: float, test: float, seed: int) -> dict[str, Split]:
    """Completes the splits by name; a missing validation split is drawn from the training rows.

    If neither validation nor test is given, the test split is drawn too. The draw is stratified if the
    targets are labels.

    Args:
        given: "train", perhaps "val" and "test".
        val, test: counts or fractions of the training rows.
        seed: of the draw.

    Raises:
        DataError: a count or fraction is impossible, or nothing is left to train on.

    Example:
        >>> rows = Split(np.zeros((20, 2)), np.arange(20) % 2)
        >>> {name: len(part) for name, part in with_drawn({"train": rows}, val=0.1, test=4, seed=0).items()}
        {'train': 14, 'val': 2, 'test': 4}
    """
    if "val" in given:
        return dict(given)
    rows = given["train"]
    labels = rows.y if rows.y.dtype.kind in "iu" else None
    drawn = split_rows(len(rows), val=val, test=0 if "test" in given else test, seed=seed, labels=labels)
    parts = {name: _rows(rows, numbers) for name, numbers in zip(SPLITS, drawn, strict=True)}
    if not len(drawn[-1]):
        del parts["test"]
    return {**given, **parts}


def _rows(part: Split, rows: Array) -> Split:
    return Split(chosen(part.x, rows), part.y[rows])


def _row_count(wanted: float, total: int, name: str) -> int:
    is_fraction = isinstance(wanted, float)
    is_number = isinstance(wanted, int | float | np.integer | np.floating) and not isinstance(wanted, bool)
    if not is_number or not wanted >= 0 or (is_fraction and wanted >= 1):
        problem = f"{name}={wanted!r} is neither a count of rows nor a fraction of them"
        raise DataError(problem, fix=f"give {name} as an integer >= 0 or a float in [0, 1)")
    return round(total * wanted) if is_fraction else int(wanted)


def _rank_in_class(labels: Array) -> Array:
    """Counts, for each row, the rows of its class that come before it."""
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
