"""k folds: the training and validation rows pooled, and which fold holds each of them out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from babysit.data.dataset import Dataset, Split, spread_over_classes
from babysit.data.rows import Array, Inputs, Joined, Rows
from babysit.errors import InputError
from babysit.seeding import numpy_generator


@dataclass(frozen=True, eq=False)
class Folds:
    """Pooled rows and their folds.

    Attributes:
        dataset: its training and its validation split are both all the pooled rows.
        fold_of: [N] int64, the fold from 0 to K - 1 that holds the row out.
        count: K.
    """

    dataset: Dataset
    fold_of: Array
    count: int


def folds(dataset: Dataset, count: int, seed: int) -> Folds:
    """Pools training and validation rows and deals them out to K folds, with equal shares of each class.

    The preprocessing stays as it was fitted on the training split: all folds see the same inputs.

    Args:
        dataset: its test split stays out of it.
        count: K, from 2 to the number of rows.
        seed: which rows.

    Raises:
        InputError: for fewer folds than two, or more than rows.

    Example:
        >>> from babysit.data.sources import digits
        >>> found = folds(digits(), 5, seed=0)
        >>> len(found.dataset.train), np.bincount(found.fold_of).tolist()
        (1437, [288, 288, 287, 287, 287])
    """
    x = _pooled(dataset)
    y = np.concatenate([dataset.train.y, dataset.val.y])
    if not 2 <= count <= len(y):
        raise InputError(
            f"{count} folds cannot be made of {len(y)} rows", fix="use from 2 folds on, e.g. --folds 5"
        )
    order = numpy_generator(seed, "folds").permutation(len(y))
    if dataset.task == "classification":
        order = spread_over_classes(order, y)
    fold_of = np.empty(len(y), dtype=np.int64)
    for fold, rows in enumerate(np.array_split(order, count)):
        fold_of[rows] = fold
    everything = Split(x, y)
    return Folds(replace(dataset, train=everything, val=everything), fold_of, count)


def _pooled(dataset: Dataset) -> Inputs:
    train, val = dataset.train.x, dataset.val.x
    if isinstance(train, Rows) or isinstance(val, Rows):
        return Joined([train, val], ["the training split", "the validation split"])
    return np.concatenate([train, val])
