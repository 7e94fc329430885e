"""Every source of data by name. The digits, which need no file, are defined here."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from babysit.data.cifar import cifar10 as cifar10
from babysit.data.dataset import Dataset, split
from babysit.data.idx import fashion_mnist as fashion_mnist
from babysit.data.idx import mnist as mnist
from babysit.data.images import image_folder as image_folder
from babysit.data.in_memory import arrays as arrays
from babysit.data.in_memory import npz as npz
from babysit.data.mapped import npy as npy
from babysit.data.preprocessing import Array, Transformer
from babysit.data.tables import csv as csv
from babysit.data.tables import parquet as parquet
from babysit.data.validity import validate
from babysit.errors import DataError

DIGITS_FILE = "datasets/data/digits.csv.gz"


def digits(*, preprocess: Sequence[Transformer] = (), seed: int = 0) -> Dataset:
    """Loads scikit-learn's handwritten digits: 1797 uint8 images [N, 1, 8, 8] in 0-16, ten classes, no
    download.

    The split is stratified: 1257 training, 180 validation and 360 test images.

    Args:
        preprocess: steps, fitted on the training split only.
        seed: of the split.

    Source: scikit-learn, ``load_digits``; UCI, "Optical Recognition of Handwritten Digits".

    Example:
        >>> data = digits()
        >>> data.train.x.shape, data.train.x.dtype, int(data.train.x.max())
        ((1257, 1, 8, 8), dtype('uint8'), 16)
    """
    table = _digits_table()
    x, y = table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
    parts = split(x, y, val=180, test=360, seed=seed, stratify=True)
    classes = tuple(str(digit) for digit in range(10))
    return validate(Dataset("digits", *parts, classes)).preprocessed(preprocess)


def _digits_table() -> Array:
    """Reads the table [1797, 64 pixels + label] from scikit-learn's own file, since its loader takes a
    second.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError(
            "the digits are part of scikit-learn, which is missing", fix="pip install scikit-learn"
        )
    path = Path(package.origin).parent / DIGITS_FILE
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.column_stack([x, y])
