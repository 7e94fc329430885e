"""k folds: the pooled training and validation rows, and the fold that holds each row out."""

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
        dataset: its test split is not used.
        count: K, from 2 to the number of rows.
        seed: of the draw.

    Raises:
        InputError: fewer than two folds, or more folds than rows.

    Example:
        >>> from babysit.data.sources import digits
        >>> found = folds(digits(), 5, seed=0)
        >>> len(found.dataset.train), np.bincount(found.fold_of).tolist()
        (1437, [288, 288, 287, 287, 287])
    """
    train, val = dataset.train.x, dataset.val.x
    x: Inputs
    if isinstance(train, Rows) or isinstance(val, Rows):
        x = Joined([train, val], ["the training split", "the validation split"])
    else:
        x = np.concatenate([train, val])
    y = np.concatenate([dataset.train.y, dataset.val.y])
    if not 2 <= count <= len(y):
        raise InputError(
            f"{count} folds cannot be made of {len(y)} rows", fix="use 2 or more folds, e.g. --folds 5"
        )
    order = numpy_generator(seed, "folds").permutation(len(y))
    if dataset.task == "classification":
        order = spread_over_classes(order, y)
    fold_of = np.empty(len(y), dtype=np.int64)
    for fold, rows in enumerate(np.array_split(order, count)):
        fold_of[rows] = fold
    everything = Split(x, y)
    return Folds(replace(dataset, train=everything, val=everything), fold_of, count)
