"""Data sets of the lab's experiments, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from babysit.data.dataset import Dataset
from babysit.data.preprocessing import Standardize
from babysit.data.sources import cifar10, digits, fashion_mnist
from babysit.errors import InputError
from babysit.lab.experiment import Options

SOURCES: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "cifar10": cifar10,
    "fashion-mnist": fashion_mnist,
}

_VALIDATION_ROWS = 1000


def known(name: str) -> str:
    """Returns the name if the lab has data of that name.

    Raises:
        InputError: it has none; the message lists the names.
    """
    if name not in SOURCES:
        raise InputError(f"the lab has no data set named {name!r}", fix=f"use one of {', '.join(SOURCES)}")
    return name


def raw_data(options: Options) -> Dataset:
    """Loads the chosen data set without preprocessing.

    Raises:
        InputError: there is none of that name.
        DataError: its files are absent.
    """
    return SOURCES[known(options.data)]()


def unit_data(options: Options, rows: int) -> Dataset:
    """Loads at most ``rows`` training and 1000 validation examples, features of mean 0 and deviation 1.

    Args:
        options: data set and seed.
        rows: most training examples.
    """
    dataset = raw_data(options)
    few = replace(
        dataset,
        train=dataset.sample(dataset.train, rows, options.seed),
        val=dataset.sample(dataset.val, _VALIDATION_ROWS, options.seed),
        test=None,
    )
    return few.preprocessed([Standardize()])


def features(dataset: Dataset) -> int:
    """Returns the number of values in one example."""
    return math.prod(dataset.input_shape)
