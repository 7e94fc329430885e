"""The data that the lab's experiments train on, by name."""

from __future__ import annotations

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
    """The name, if the lab has data of that name.

    Raises:
        InputError: when it has none; the message lists the names.
    """
    if name not in SOURCES:
        raise InputError(f"the lab has no data set named {name!r}", fix=f"use one of {', '.join(SOURCES)}")
    return name


def raw_data(options: Options) -> Dataset:
    """The chosen data set as it came.

    Raises:
        InputError: when there is none of that name.
        DataError: when its files are absent.
    """
    return SOURCES[known(options.data)]()


def unit_data(options: Options, rows: int) -> Dataset:
    """At most ``rows`` training and 1000 validation examples, every feature at mean 0 and deviation 1.

    Args:
        options: data set and seed.
        rows: how many training examples at most.
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
    """How many numbers one example has."""
    count = 1
    for size in dataset.input_shape:
        count *= size
    return count
